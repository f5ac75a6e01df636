package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMarkdown(t *testing.T) {
	t.Parallel()
	r := report{
		rows: []row{
			{measure: "a|b", against: "c", mustBe: "d", measured: "e", met: true},
			{measure: "f", against: "g", mustBe: "h", measured: "i"},
			{measure: "j", measured: "not measured", failed: true},
		},
		details: []table{{title: "Behind it:", head: []string{"k"}, rows: [][]string{{"l\nm"}}}},
	}
	want := `Facts.

| measure | against | must be | measured | met |
| --- | --- | --- | --- | --- |
| a\|b | c | d | e | yes |
| f | g | h | i | no |
| j |  |  | not measured | - |

Behind it:

| k |
| --- |
| l m |
`
	if diff := cmp.Diff(want, r.markdown("Facts.")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Only what is between the markers is written, as often as one likes.
func TestWriteBetween(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(file, []byte("by hand\n"+beginMarker+"old\n"+endMarker+"too\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"first\n", "second\n"} {
		if err := writeBetween(file, text); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want := "by hand\n" + beginMarker + "\n" + text + "\n" + endMarker + "too\n"
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

func TestBetweenRefuses(t *testing.T) {
	t.Parallel()
	for _, page := range []string{
		"", beginMarker, endMarker, endMarker + beginMarker,
		beginMarker + endMarker + beginMarker + endMarker, beginMarker + beginMarker + endMarker, beginMarker + endMarker + endMarker,
	} {
		if got, err := between(page, "text"); err == nil {
			t.Errorf("%q became %q", page, got)
		}
	}
}

// The page of this project has the markers.
func TestBenchmarksPage(t *testing.T) {
	t.Parallel()
	if _, err := readBetween("../../docs/BENCHMARKS.md"); err != nil {
		t.Error(err)
	}
}
