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

// Only the section is written, as often as one likes.
func TestSectionWrite(t *testing.T) {
	t.Parallel()
	other := couchDBSection.begin() + "of CouchDB\n" + couchDBSection.end()
	own := embeddedSection
	file := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(file, []byte("by hand\n"+own.begin()+"old\n"+own.end()+"too\n"+other), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"first\n", "second\n"} {
		if err := own.write(file, text); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want := "by hand\n" + own.begin() + "\n" + text + "\n" + own.end() + "too\n" + other
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

func TestSectionRefuses(t *testing.T) {
	t.Parallel()
	begin, end := couchDBSection.begin(), couchDBSection.end()
	for _, page := range []string{
		"", begin, end, end + begin, begin + end + begin + end, begin + begin + end, begin + end + end, embeddedSection.begin() + embeddedSection.end(),
	} {
		if got, err := couchDBSection.replace(page, "text"); err == nil {
			t.Errorf("%q became %q", page, got)
		}
	}
}

// The page of this project has the sections.
func TestBenchmarksPage(t *testing.T) {
	t.Parallel()
	if _, err := readPage("../../docs/BENCHMARKS.md"); err != nil {
		t.Error(err)
	}
}
