package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// lineWidth is where the help text wraps.
const lineWidth = 100

// printHelp prints every command and every variable.
func printHelp(w io.Writer) error {
	var b strings.Builder
	b.WriteString("pouchbridge: a websocket bridge between PouchDB clients and CouchDB\n\nusage: pouchbridge [command]\n\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "  %-12s %s\n", c.name, c.help)
	}
	b.WriteString("\nEnvironment variables (the texts leave out the prefix " + prefix + "):\n")
	for _, v := range variables() {
		fmt.Fprintf(&b, "\n  %s (%s)\n", v.Key, v.defaults())
		for _, line := range wrapped(v.Help+v.allowed(), lineWidth-6) {
			b.WriteString("      " + line + "\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// configurationPage is docs/CONFIGURATION.md.
func configurationPage() string {
	var b strings.Builder
	b.WriteString("# Configuration\n\n" +
		"<!-- Made from the tags of Config in config.go: go test -run TestConfigurationPage -update . -->\n\n" +
		"The program is configured by environment variables alone. One that is set to nothing counts as not set. Whatever is\n" +
		"wrong is reported at the start, all at once, and nothing is served then. The texts leave out the prefix `" + prefix + "`.\n\n" +
		"| variable | default | meaning |\n| --- | --- | --- |\n")
	for _, v := range variables() {
		cell := strings.NewReplacer("|", `\|`, "*", `\*`, "<", "&lt;").Replace(v.Help + v.allowed())
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", v.Key, v.defaultCell(), cell)
	}
	b.WriteString("\n## The file of `POUCHBRIDGE_STATIC_FILE`\n\n```json\n" + staticExample + "```\n\n" + staticText)
	return b.String()
}

// staticExample is a file of the policy static; staticText explains it.
const staticExample = `{
  "tokens": [
    {
      "sha256": "cbd403a4b25fd9cd745c19541a591f945138c7313db694743017d1e34ef61005",
      "subject": "alice",
      "databases": [
        {"match": "todos-shared", "read_only": true},
        {"match": "todos-*", "database": "app-*-alice", "create": true}
      ]
    },
    {
      "token": "put random digits here",
      "subject": "the importer",
      "databases": [{"match": "*", "design_docs": true}]
    }
  ]
}
`

const staticText = "Clients send the credentials `{\"token\": \"…\"}`. For each token:\n\n" +
	"- `token` is the token itself, or `sha256` the SHA-256 of its bytes in hexadecimal: `printf %s \"$token\" | sha256sum`. Make\n" +
	"  tokens at random, for example with `openssl rand -hex 16`: nothing slows down a search for a guessable one.\n" +
	"- `subject` says in the logs who it was. Optional; never a secret.\n" +
	"- `databases` are tried in order, and the first whose `match` fits the name asked for decides. One `*` stands for one or\n" +
	"  more characters other than `/`. What no entry matches is refused.\n" +
	"  - `database` is the database in CouchDB; a `*` in it is what the `*` of `match` stood for. Default: the name asked for.\n" +
	"  - `read_only` lets clients pull only. Default: they push too.\n" +
	"  - `design_docs` lets them push design documents, which are code that CouchDB runs. Default: no.\n" +
	"  - `create` has the database created if it is missing; the account of `POUCHBRIDGE_COUCHDB_URL` must be a server\n" +
	"    administrator for that. Default: no.\n" +
	"  - `upstream` is the name of a CouchDB server. There is only the default one, without a name.\n\n" +
	"A system database, such as `_users`, must be named in full. Members with other names, tokens given twice and the like\n" +
	"keep the program from starting, and it says where they are.\n"

// defaults says what holds when the variable is not set.
func (v variable) defaults() string {
	text := "no default"
	if v.DefaultValue != "" {
		text = "default " + v.DefaultValue
	}
	if v.DevDefault != "" {
		text += "; in dev " + v.DevDefault
	}
	return text
}

func (v variable) defaultCell() string {
	var parts []string
	if v.DefaultValue != "" {
		parts = append(parts, "`"+v.DefaultValue+"`")
	}
	if v.DevDefault != "" {
		parts = append(parts, "dev: `"+v.DevDefault+"`")
	}
	return strings.Join(parts, ", ")
}

// allowed says which values are, after the text of Help.
func (v variable) allowed() string {
	if len(v.OneOf) > 0 {
		return " One of " + alternatives(v.OneOf) + "."
	}
	if v.Min != "" {
		return " At least " + v.Min + "."
	}
	return ""
}

// wrapped breaks text into lines of at most width bytes, between words.
func wrapped(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	return append(lines, line)
}

func quoted(texts []string) []string {
	out := make([]string, len(texts))
	for i, t := range texts {
		out[i] = strconv.Quote(t)
	}
	return out
}
