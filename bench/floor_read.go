package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/pull"
	"github.com/bizzstream/bizzscim/pull/graph/reader"
)

// The floors of a pull read the same pages with net/http and encoding/json, and believe all they get.

// member is a member of a group as Graph sends it.
type member struct {
	ID                string `json:"id"`
	UserPrincipalName string `json:"userPrincipalName"`
	DisplayName       string `json:"displayName"`
	GivenName         string `json:"givenName"`
	Surname           string `json:"surname"`
	Mail              string `json:"mail"`
	PreferredLanguage string `json:"preferredLanguage"`
	UserType          string `json:"userType"`
	AccountEnabled    bool   `json:"accountEnabled"`
}

func (m *member) person() (pull.Person, error) {
	id, ok := directory.ParseID(m.ID)
	if !ok {
		return pull.Person{}, fmt.Errorf("%q is no object id", m.ID)
	}
	return pull.Person{ID: id, UserPrincipalName: m.UserPrincipalName, DisplayName: m.DisplayName, GivenName: m.GivenName, Surname: m.Surname,
		Mail: m.Mail, PreferredLanguage: m.PreferredLanguage, Enabled: m.AccountEnabled, Guest: m.UserType == "Guest"}, nil
}

// ReadJSON reads the group page by page with json.Unmarshal.
func (f *Floor) ReadJSON(l Link, r *Read) error {
	return f.readGroup(l, r, func(body io.Reader, add func(member) error) (next string, err error) {
		var page struct {
			NextLink string   `json:"@odata.nextLink"`
			Value    []member `json:"value"`
		}
		data, err := io.ReadAll(body)
		if err != nil {
			return "", err
		}
		if err := json.Unmarshal(data, &page); err != nil {
			return "", err
		}
		for _, m := range page.Value {
			if err := add(m); err != nil {
				return "", err
			}
		}
		return page.NextLink, nil
	})
}

// ReadStream reads the group with a json.Decoder, one member at a time.
func (f *Floor) ReadStream(l Link, r *Read) error {
	return f.readGroup(l, r, func(body io.Reader, add func(member) error) (next string, err error) {
		d := json.NewDecoder(body)
		if _, err := d.Token(); err != nil { // {
			return "", err
		}
		for d.More() {
			name, err := d.Token()
			if err != nil {
				return "", err
			}
			switch name {
			case "@odata.nextLink":
				err = d.Decode(&next)
			case "value":
				err = eachMember(d, add)
			default:
				err = d.Decode(&json.RawMessage{})
			}
			if err != nil {
				return "", err
			}
		}
		return next, nil
	})
}

func eachMember(d *json.Decoder, add func(member) error) error {
	if _, err := d.Token(); err != nil { // [
		return err
	}
	for d.More() {
		var m member
		if err := d.Decode(&m); err != nil {
			return err
		}
		if err := add(m); err != nil {
			return err
		}
	}
	_, err := d.Token()
	return err
}

// readGroup gets a token and the pages. page takes one apart and returns the address of the next one.
func (f *Floor) readGroup(l Link, r *Read, page func(io.Reader, func(member) error) (string, error)) error {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(l.CA)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	return measured(r, func(add func(pull.Person)) error {
		token, err := requestToken(f.ctx, client, l)
		if err != nil {
			return err
		}
		next := fmt.Sprintf("%s/groups/%s/members?$select=%s&$count=true&$top=999", l.GraphURL, l.Group, strings.Join(reader.Properties, ","))
		for next != "" {
			req, err := http.NewRequestWithContext(f.ctx, http.MethodGet, next, nil)
			if err != nil {
				return err
			}
			req.Header.Set("Authorization", "Bearer "+token)
			req.Header.Set("ConsistencyLevel", "eventual")
			r.Requests++
			next, err = answer(client, req, func(body io.Reader) (string, error) {
				return page(body, func(m member) error {
					p, err := m.person()
					add(p)
					return err
				})
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// answer sends a request and reads its answer.
func answer(client *http.Client, req *http.Request, read func(io.Reader) (string, error)) (string, error) {
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s %s: %s", req.Method, req.URL.Path, resp.Status)
	}
	text, err := read(resp.Body)
	_, rest := io.Copy(io.Discard, resp.Body)
	return text, errors.Join(err, rest)
}

func requestToken(ctx context.Context, client *http.Client, l Link) (string, error) {
	u, err := url.Parse(l.GraphURL)
	if err != nil {
		return "", err
	}
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {l.ClientID}, "client_secret": {l.Secret}, "scope": {u.Scheme + "://" + u.Host + "/.default"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.LoginURL+l.DirectoryID+"/oauth2/v2.0/token", strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return answer(client, req, func(body io.Reader) (string, error) {
		var out struct {
			AccessToken string `json:"access_token"`
		}
		err := json.NewDecoder(body).Decode(&out)
		return out.AccessToken, err
	})
}
