package embedded

import (
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// getSession shows who the client is.
func (r *request) getSession() error {
	body := append([]byte(nil), `{"ok":true,"userCtx":{`...)
	body = r.user.appendMembers(body)
	body = append(body, `},"info":{"authentication_handlers":["cookie","default"]`...)
	if r.user.by != "" {
		body = append(body, `,"authenticated":"`+r.user.by+`"`...)
	}
	return r.sendJSON(http.StatusOK, append(body, "}}"...))
}

// postSession logs in and sets the session cookie.
func (r *request) postSession() error {
	name, password, err := r.readCredentials()
	if err != nil {
		return err
	}
	if name == "" {
		return badRequest("request body must contain a username")
	}
	user, err := r.store.login(name, password)
	if err != nil {
		r.setCookie("")
		return err
	}
	_, salt, err := r.store.cookieOwner(name)
	if err != nil {
		return err
	}
	r.setCookie(r.store.cookieToken(name, r.store.options.Now(), salt))
	body := user.appendMembers([]byte(`{"ok":true,`))
	return r.sendJSON(http.StatusOK, append(body, '}'))
}

// readCredentials reads a JSON body or a form.
func (r *request) readCredentials() (name, password string, err error) {
	raw, err := r.readAll()
	if err != nil {
		return "", "", err
	}
	if mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); mediaType == "application/x-www-form-urlencoded" {
		form, err := url.ParseQuery(string(raw))
		if err != nil {
			return "", "", badRequest("The form cannot be parsed.")
		}
		return form.Get("name"), form.Get("password"), nil
	}
	v, err := compactJSON(raw)
	if err != nil {
		return "", "", err
	}
	name, _ = stringValue(field(v, "name"))
	if name == "" {
		name, _ = stringValue(field(v, "username"))
	}
	password, _ = stringValue(field(v, "password"))
	return name, password, nil
}

func (r *request) deleteSession() error {
	r.setCookie("")
	return r.sendOK(http.StatusOK)
}

// setCookie sends the session cookie in CouchDB's form; an empty token ends the session.
func (r *request) setCookie(token string) {
	timeout := r.store.options.SessionTimeout
	expires := r.store.options.Now().Add(timeout).UTC().Format(time.RFC1123)
	expires = strings.Replace(expires, "UTC", "GMT", 1)
	r.out.Header().Set("Set-Cookie", fmt.Sprintf("%s=%s; Version=1; Expires=%s; Max-Age=%d; Path=/; HttpOnly",
		sessionCookie, token, expires, int(timeout.Seconds())))
}
