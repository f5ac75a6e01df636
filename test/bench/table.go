package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// table is one with the figures behind the first one.
type table struct {
	title string
	head  []string
	rows  [][]string
}

// markdown is everything that was found.
func (r report) markdown(facts string) string {
	summary := table{head: []string{"measure", "against", "must be", "measured", "met"}}
	for _, row := range r.rows {
		met := "no"
		switch {
		case row.failed:
			met = "-"
		case row.met:
			met = "yes"
		}
		summary.rows = append(summary.rows, []string{row.measure, row.against, row.mustBe, row.measured, met})
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", facts)
	summary.markdown(&b)
	for _, t := range r.details {
		fmt.Fprintf(&b, "\n%s\n\n", t.title)
		t.markdown(&b)
	}
	return b.String()
}

func (t table) markdown(b *strings.Builder) {
	line := func(cells []string) {
		escaped := make([]string, len(cells))
		for i, cell := range cells {
			escaped[i] = strings.NewReplacer("|", `\|`, "\n", " ").Replace(cell)
		}
		fmt.Fprintf(b, "| %s |\n", strings.Join(escaped, " | "))
	}
	line(t.head)
	line(strings.Split(strings.Repeat("---,", len(t.head)-1)+"---", ","))
	for _, row := range t.rows {
		line(row)
	}
}

// The tables stand between these lines; what is around them is written by hand.
const (
	beginMarker = "<!-- bench: made by `make bench`, do not edit -->\n"
	endMarker   = "<!-- bench: end -->\n"
)

// between replaces what is between the markers of a page.
func between(page, text string) (string, error) {
	before, rest, begins := strings.Cut(page, beginMarker)
	_, after, ends := strings.Cut(rest, endMarker)
	if !begins || !ends || strings.Contains(rest, beginMarker) || strings.Contains(after, endMarker) {
		return "", errors.New("it must have each of the two marker lines once: " + strings.TrimSpace(beginMarker) + " and " + strings.TrimSpace(endMarker))
	}
	return before + beginMarker + "\n" + text + "\n" + endMarker + after, nil
}

// readBetween reads a page that can be written to.
func readBetween(file string) (string, error) {
	page, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	if _, err := between(string(page), ""); err != nil {
		return "", fmt.Errorf("%s: %w", file, err)
	}
	return string(page), nil
}

// writeBetween puts text between the markers of a file.
func writeBetween(file, text string) error {
	page, err := readBetween(file)
	if err != nil {
		return err
	}
	if page, err = between(page, text); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(page), 0o644)
}
