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

// section is where on the page the tables of one kind of upstream stand; what is around it is written by hand.
type section string

const (
	embeddedSection section = "embedded store"
	couchDBSection  section = "CouchDB"
)

// sections are what the page must have, each once.
var sections = []section{couchDBSection, embeddedSection}

func (s section) begin() string {
	return "<!-- bench, " + string(s) + ": made by `make bench`, do not edit -->\n"
}
func (s section) end() string { return "<!-- bench, " + string(s) + ": end -->\n" }

// replace puts text into the section of a page.
func (s section) replace(page, text string) (string, error) {
	before, rest, begins := strings.Cut(page, s.begin())
	_, after, ends := strings.Cut(rest, s.end())
	if !begins || !ends || strings.Contains(rest, s.begin()) || strings.Contains(after, s.end()) {
		return "", errors.New("it must have each of the two lines once: " + strings.TrimSpace(s.begin()) + " and " + strings.TrimSpace(s.end()))
	}
	return before + s.begin() + "\n" + text + "\n" + s.end() + after, nil
}

// readPage reads a page that can be written to.
func readPage(file string) (string, error) {
	page, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	for _, s := range sections {
		if _, err := s.replace(string(page), ""); err != nil {
			return "", fmt.Errorf("%s: %w", file, err)
		}
	}
	return string(page), nil
}

// write puts text into the section of a file.
func (s section) write(file, text string) error {
	page, err := readPage(file)
	if err != nil {
		return err
	}
	if page, err = s.replace(page, text); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(page), 0o644)
}
