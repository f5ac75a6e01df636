package main

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestExampleWebhook(t *testing.T) {
	t.Parallel()
	const key = "32 bytes that nobody else can know"
	couchdb := store(t, "pw")
	p := example(t, "webhook.env", map[string]string{
		"COUCHDB_URL": couchdb.String(), "WEBHOOK_URL": "http://127.0.0.1:" + endpoint(t, key) + "/pouchbridge", "WEBHOOK_SECRET": key,
	})
	p.log.wait(t, "the policy may name users to CouchDB by proxy authentication")
	a := connect(t, p.listening["url"].(string), nil)
	for _, w := range []wish{
		{database: "todos", credentials: `{"apiKey":"alice-s key"}`, upstream: "todos-alice"},
		{database: "other", credentials: `{"apiKey":"alice-s key"}`, refusal: "there is only todos"},
		{database: "todos", credentials: `{"apiKey":"guess"}`, refusal: "this key is not known"},
		{database: "todos", refusal: "this key is not known"},
	} {
		w.check(t, a, couchdb)
	}
	unsigned := example(t, "webhook.env", map[string]string{
		"COUCHDB_URL": couchdb.String(), "WEBHOOK_URL": "http://127.0.0.1:" + endpoint(t, "another key") + "/pouchbridge", "WEBHOOK_SECRET": key,
	})
	wish{database: "todos", credentials: `{"apiKey":"alice-s key"}`, refusal: "access could not be decided, try again later"}.check(t, connect(t, unsigned.listening["url"].(string), nil), couchdb)
}

// endpoint runs the example's endpoint and returns its port.
func endpoint(t *testing.T, key string) string {
	t.Helper()
	node := exec.Command("node", "examples/policies/webhook.mjs")
	node.Env = append(os.Environ(), "PORT=0", "SECRET="+key)
	node.Stderr = os.Stderr
	out, err := node.StdoutPipe()
	if err == nil {
		err = node.Start()
	}
	if err != nil {
		t.Fatalf("running the endpoint (it needs Node.js 20: apt-get install nodejs): %v", err)
	}
	t.Cleanup(func() {
		_ = node.Process.Kill()
		_ = node.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	port, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if err != nil || !ok {
		t.Fatalf("the endpoint says %q, %v", line, err)
	}
	return port
}
