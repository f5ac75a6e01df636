package main

import (
	"cmp"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
)

// buildInfo says what this binary was built from.
type buildInfo struct {
	Version  string // of the module, or "devel"
	Revision string // commit, followed by "+dirty" if files were changed; "unknown" outside a checkout
	Go       string
}

// version reads what the Go tool left in the binary.
func version() buildInfo {
	b := buildInfo{Version: "devel", Revision: "unknown", Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if info.Main.Version != "(devel)" {
		b.Version = cmp.Or(info.Main.Version, b.Version)
	}
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	b.Revision = cmp.Or(settings["vcs.revision"], b.Revision)
	if settings["vcs.modified"] == "true" {
		b.Revision += "+dirty"
	}
	return b
}

func printVersion(w io.Writer) error {
	b := version()
	_, err := fmt.Fprintf(w, "pouchbridge %s\nrevision %s\n%s %s/%s\n", b.Version, b.Revision, b.Go, runtime.GOOS, runtime.GOARCH)
	return err
}
