# syntax=docker/dockerfile:1
FROM --platform=$BUILDPLATFORM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
# With .git, from which the Go tool takes the revision that `pouchbridge version` prints.
COPY . .
ARG TARGETOS TARGETARCH
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -ldflags='-s -w' -o /pouchbridge .

FROM gcr.io/distroless/static-debian12:nonroot
LABEL org.opencontainers.image.title="pouchbridge" \
      org.opencontainers.image.description="A websocket bridge between PouchDB clients and CouchDB" \
      org.opencontainers.image.licenses="ISC"
COPY --from=build /pouchbridge /pouchbridge
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s CMD ["/pouchbridge", "healthcheck"]
ENTRYPOINT ["/pouchbridge"]
