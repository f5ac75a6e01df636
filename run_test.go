package main

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"pouchbridge/auth"
)

func TestHelp(t *testing.T) {
	t.Parallel()
	var first string
	for _, argument := range []string{"help", "--help", "-h"} {
		var stdout, stderr bytes.Buffer
		if err := run(t.Context(), []string{argument}, environment(nil), nil, &stdout, &stderr); err != nil || stderr.Len() > 0 {
			t.Fatalf("%s: %v, standard error %q", argument, err, &stderr)
		}
		if first == "" {
			first = stdout.String()
		}
		if stdout.String() != first {
			t.Errorf("%s prints another text than help", argument)
		}
	}
	golden(t, "testdata/help.txt", first)
}

func TestConfigurationPage(t *testing.T) {
	t.Parallel()
	golden(t, "docs/CONFIGURATION.md", configurationPage())
	if _, err := auth.ParseStatic([]byte(staticExample), nil); err != nil {
		t.Errorf("the example of STATIC_FILE: %v", err)
	}
}

// Every variable says what it means, and a bound or a list of values is one that its type has.
func TestVariables(t *testing.T) {
	t.Parallel()
	for _, v := range variables() {
		if v.Help == "" {
			t.Errorf("%s has no help", v.Key)
		}
		if len(v.OneOf) == 1 {
			t.Errorf("%s has no choice", v.Key)
		}
		if len(v.OneOf) > 0 && v.Type.Kind().String() != "string" && v.Type.String() != "[]string" || v.Min != "" && v.Type.Kind().String() == "string" {
			t.Errorf("%s is a %s: oneof or min cannot be checked", v.Key, v.Type)
		}
		if shown := v.show("s3cr3t"); v.Secret == strings.Contains(shown, "s3cr3t") {
			t.Errorf("%s is shown as %s", v.Key, shown)
		}
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	var stdout bytes.Buffer
	if err := run(t.Context(), []string{"version"}, environment(nil), nil, &stdout, &stdout); err != nil {
		t.Fatal(err)
	}
	if want := regexp.MustCompile(`\Apouchbridge \S+\nrevision \S+\ngo1\.\S+ \w+/\w+\n\z`); !want.MatchString(stdout.String()) {
		t.Errorf("version prints %q, want %s", &stdout, want)
	}
}

func TestArguments(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"start"}, `there is no command "start"; the commands are serve, dev, healthcheck, token, hash, version or help`},
		{[]string{""}, `there is no command ""; the commands are serve, dev, healthcheck, token, hash, version or help`},
		{[]string{"--port=80"}, `there is no command "--port=80"; the commands are serve, dev, healthcheck, token, hash, version or help`},
		{[]string{"dev", "--listen", ":80"}, `dev takes no arguments, but was given "--listen" ":80"; it is configured by environment variables, which the command help lists`},
	} {
		var out bytes.Buffer
		err := run(t.Context(), tt.args, environment(nil), nil, &out, &out)
		if err == nil || err.Error() != tt.want || out.Len() > 0 {
			t.Errorf("run %q: %v, output %q; want %s", tt.args, err, &out, tt.want)
		}
	}
}
