package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"time"
)

// healthcheck is the command healthcheck, for container images, which have no other program to ask with. It asks for
// /healthz at ADMIN_LISTEN if that is set, else at LISTEN, and fails unless the answer is 200 within 3 seconds.
func healthcheck(ctx context.Context, getenv func(string) string, std stdio) error {
	c, f := loadConfig(getenv, "serve")
	if err := f.err(); err != nil {
		return err
	}
	url, err := healthURL(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	transport := &http.Transport{
		// The certificate is made out to the name that clients use, not to the address that is asked here, and the answer
		// is not confidential.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return fmt.Errorf("not healthy: %w", err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("not healthy: %s answers %s", url, response.Status)
	}
	_, err = fmt.Fprintln(std.out, "ok")
	return err
}

// healthURL is where a bridge of this configuration answers.
func healthURL(c Config) (string, error) {
	scheme, address := "http", c.AdminListen
	if address == "" {
		address = c.Listen
		if c.TLSCertFile != "" {
			scheme = "https"
		}
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil || port == "0" {
		return "", fmt.Errorf("the address %q has no port to ask at", address)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return scheme + "://" + net.JoinHostPort(host, port) + "/healthz", nil
}
