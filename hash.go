package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
)

// printToken is the command token. Its output is fit for hash's input.
func printToken(_ context.Context, _ func(string) string, std stdio) error {
	_, err := fmt.Fprintln(std.out, rand.Text())
	return err
}

// maxToken is more than fits into any client's credentials.
const maxToken = 64 << 10

// printHash is the command hash: it prints the SHA-256 of the token on standard input, a line that is right in a JSON file as
// well as in a YAML file. It is not read from the arguments, which every user of the machine can see.
func printHash(_ context.Context, _ func(string) string, std stdio) error {
	if isTerminal(std.in) {
		fmt.Fprintln(std.err, "Type or paste the token, then Enter and Ctrl-D:")
	}
	b, err := io.ReadAll(io.LimitReader(std.in, maxToken+1))
	if err != nil {
		return fmt.Errorf("reading the token from standard input: %w", err)
	}
	token := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	switch {
	case token == "":
		return errors.New("there is no token on standard input; try: pouchbridge token | tee token.txt | pouchbridge hash")
	case len(b) > maxToken || strings.TrimSpace(token) != token || strings.ContainsAny(token, "\r\n"):
		return errors.New("standard input must have the token alone, on one line, without white space around it")
	}
	_, err = fmt.Fprintf(std.out, "\"sha256\": \"%x\"\n", sha256.Sum256([]byte(token)))
	return err
}
