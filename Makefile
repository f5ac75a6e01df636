.PHONY: dev build test race lint bench

# Serve on ws://127.0.0.1:3000, with a CouchDB of its own.
dev:
	go run . dev

# bin/pouchbridge, static.
build:
	CGO_ENABLED=0 go build -trimpath -o bin/pouchbridge .

# Everything: lint, Go tests with the race detector, real PouchDB clients.
test: lint race
	node test/e2e/run.mjs

# The Go tests.
race:
	go test -race -shuffle=on ./...

# gofmt, go vet, staticcheck and govulncheck.
lint:
	.ci/lint

# Measure the bridge beside its peers, and write the tables of docs/BENCHMARKS.md. With COUCHDB_URL on that CouchDB.
bench:
	go build -o bin/bench ./test/bench
	bin/bench -write docs/BENCHMARKS.md
