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
	b.WriteString("\n## Memory\n\n" + memoryText)
	b.WriteString("\n## The file of `POUCHBRIDGE_STATIC_FILE`\n\n```json\n" + staticExample + "```\n\n" + staticText)
	return b.String()
}

// memoryText is about the variables of Go's runtime.
const memoryText = "Go's own variables are heeded. `GOMEMLIMIT`, like `600MiB`, is what the process may take of memory: set it to\n" +
	"somewhat less than what the container or machine gives it. Half of it is for what is held for clients, see\n" +
	"`POUCHBRIDGE_MAX_BUFFERED_BYTES`; the rest is for connections (an idle one with a live session takes about 25 KB), and for\n" +
	"garbage: where `GOGC` is not set, 16 MiB of it, or half of what is live if that is more.\n"

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

const staticText = "The same in YAML is as good; a file that begins with a brace is JSON. Clients send the credentials `{\"token\": \"…\"}`.\n" +
	"For each token:\n\n" +
	"- `sha256` is the SHA-256 of the token's bytes in hexadecimal: `pouchbridge token | tee token.txt | pouchbridge hash` makes a\n" +
	"  token and prints this line. `token` is the token itself, instead. Make tokens at random: nothing slows down a search for a\n" +
	"  guessable one.\n" +
	"- `id` names the token in logs and where it is revoked. Default: the first 12 digits of its SHA-256.\n" +
	"- `subject` says in the logs who it was. Optional; never a secret.\n" +
	"- `databases` are tried in order, and the first whose `match` fits the name asked for decides. One `*` stands for one or\n" +
	"  more characters other than `/`. What no entry matches is refused.\n" +
	"  - `database` is the database in CouchDB; a `*` in it is what the `*` of `match` stood for. Default: the name asked for.\n" +
	"  - `access` is `read-write` (the default), `read-only` (clients pull) or `write-only` (clients push, as into a drop box).\n" +
	"    `read_only: true` is the same as `access: read-only`.\n" +
	"  - `design_docs` lets them push design documents, which are code that CouchDB runs. Default: no.\n" +
	"  - `create` has the database created if it is missing; the account of its server's URL must be a server administrator for\n" +
	"    that. Default: no.\n" +
	"  - `upstream` is one of the servers of `POUCHBRIDGE_UPSTREAMS`. Default: that of `POUCHBRIDGE_COUCHDB_URL`.\n\n" +
	"A system database, such as `_users`, must be named in full. Members with other names, tokens given twice and the like\n" +
	"keep the program from starting, and it says where they are.\n\n" +
	"The file is looked at every two seconds and taken once two looks find the same new content, and at once on SIGHUP. If it is\n" +
	"not usable then, every fault is logged and the tokens stay as they were. Sessions of a token that is gone or whose entry\n" +
	"changed are ended; their clients may ask again.\n\n" +
	"## Ending grants\n\n" +
	"`DELETE /grants?subject=…&database=…&token_id=…` at `POUCHBRIDGE_ADMIN_LISTEN` ends the sessions that every parameter given\n" +
	"fits, and answers how many there were: `{\"revoked\":2}`. The database is the one in CouchDB. A client whose session is ended\n" +
	"may ask again: take away first what lets the policy grant it.\n"

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
