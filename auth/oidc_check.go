package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"golang.org/x/oauth2"

	"github.com/bizzstream/bizzscim/directory"
)

// SignInTest is what came of trying the application of a tenant that signs people in.
type SignInTest struct{ Checks []SignInCheck }

// SignInCheck is one thing that was tried.
type SignInCheck struct {
	Name   string // application, metadata, credential, token
	Detail string // what was seen
	Error  string // what is wrong and what to do; empty: it is right
}

// testTime bounds a test.
const testTime = 20 * time.Second

// Test tries what signing in needs, as far as it can be tried without a person: that directory and application are
// named, that the issuer publishes what it should under the name that its tokens will have, that the credential is
// there and can be used, and that the directory takes it: it is asked for a token of the application itself
// (client credentials, RFC 6749 section 4.4), which opens nothing and is thrown away. Errors: NotFound; those of
// reading.
func (s *SignIn) Test(ctx context.Context, tenant directory.ID) (out SignInTest, err error) {
	ctx, cancel := context.WithTimeout(ctx, testTime)
	defer cancel()
	var t *directory.Tenant
	var cred *directory.Credential
	err = s.config.Service.View(ctx, func(sn *directory.Snapshot) (err error) {
		if t, err = sn.Tenant(tenant); err != nil {
			return err
		}
		cred, err = sn.Credential(tenant, directory.SignInCredential)
		if directory.KindOf(err) == directory.NotFound {
			err = nil
		}
		return err
	})
	if err != nil {
		return out, err
	}
	check := func(name, detail, wrong string) bool {
		if wrong != "" {
			detail = ""
		}
		out.Checks = append(out.Checks, SignInCheck{name, detail, wrong})
		return wrong == ""
	}
	wrong := ""
	switch {
	case t.DirectoryID == "":
		wrong = "the directory (tenant) id is missing: enter it as Entra's overview page shows it"
	case t.SignIn.ClientID == "":
		wrong = "the application (client) id is missing: register an application in Entra and enter its id"
	}
	named := check("application", "directory and application are named", wrong)
	ready := check("credential", "it is there and can be used", s.credentialProblem(t, cred))
	if !named {
		return out, nil
	}
	p, err := s.issuer(t).publication(ctx)
	if err != nil {
		check("metadata", "", metadataProblem(t, err))
		return out, nil
	}
	check("metadata", "the directory publishes its addresses and keys", "")
	if ready {
		check("token", "the directory takes the credential of the application", s.tryCredential(ctx, s.application(t, p), cred))
	}
	return out, nil
}

func metadataProblem(t *directory.Tenant, err error) string {
	if issuerProblem(err).Code == ProblemConfiguration {
		return fmt.Sprintf("the directory answers, but does not know %s: look at the directory (tenant) id and the cloud", t.DirectoryID)
	}
	return "the directory cannot be reached now: look at the cloud and at the network of the server, then try again"
}

// credentialProblem says why a credential cannot be used; empty: it can.
func (s *SignIn) credentialProblem(t *directory.Tenant, cred *directory.Credential) string {
	switch {
	case cred == nil:
		return "there is no credential: make a secret or a certificate in Entra and enter it here"
	case !cred.Expires.IsZero() && !s.config.Now().Before(cred.Expires):
		return "it ended on " + cred.Expires.Format(time.DateOnly) + ": make a new one in Entra and enter it here"
	}
	if _, err := s.prove(&oauth2.Config{ClientID: t.SignIn.ClientID}, cred); err != nil {
		s.config.Log.Warn("a credential cannot be used", "tenant_id", t.ID, "credential", cred.Name, "error", err)
		if cred.Kind == "federated" {
			return "the server cannot read the token file of this credential: look at its path and who may read it"
		}
		return "the server cannot open the credential that is kept: enter it again"
	}
	return ""
}

// entraError is the number of an error of Entra.
var entraError = regexp.MustCompile(`AADSTS[0-9]{4,9}`)

// adviceOf are the errors of Entra that somebody can do something about. Source: Microsoft, "Microsoft Entra
// authentication and authorization error codes".
var adviceOf = map[string]string{
	"AADSTS7000215": "the secret is wrong: copy its Value in Entra, not its ID",
	"AADSTS7000222": "the secret has ended: make a new one in Entra and enter it here",
	"AADSTS700016":  "the directory has no such application: look at the application (client) id and the directory (tenant) id",
	"AADSTS700027":  "the certificate is not registered with the application: upload it under Certificates & secrets",
	"AADSTS700212":  "no federated credential of the application has this audience",
	"AADSTS70021":   "no federated credential of the application matches the token: compare issuer, subject and audience",
	"AADSTS90002":   "there is no such directory: look at the directory (tenant) id and the cloud",
	"AADSTS7000112": "the application is disabled in Entra",
}

// graphApplication is Microsoft Graph by its application id, the same in every cloud and known to every directory: a
// token for it can be had without any permission.
const graphApplication = "00000003-0000-0000-c000-000000000000"

// tryCredential asks for a token of the application itself and says why there is none.
func (s *SignIn) tryCredential(ctx context.Context, c *oauth2.Config, cred *directory.Credential) string {
	proof, err := s.prove(c, cred)
	if err != nil {
		return "the server cannot use the credential: enter it again"
	}
	proof = append(proof, oauth2.SetAuthURLParam("grant_type", "client_credentials"), oauth2.SetAuthURLParam("scope", graphApplication+"/.default"))
	_, err = c.Exchange(context.WithValue(ctx, oauth2.HTTPClient, s.client), "", proof...)
	var refused *oauth2.RetrieveError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &refused):
		return refusal(refused)
	}
	return "the directory cannot be reached now: try again in a moment"
}

// refusal says why the directory gave no token. What it says besides the number is not repeated: it can hold names.
func refusal(e *oauth2.RetrieveError) string {
	number := entraError.FindString(e.ErrorDescription)
	if advice, known := adviceOf[number]; known {
		return advice + " (" + number + ")"
	}
	status := e.Response.StatusCode
	passing := status >= http.StatusInternalServerError || status == http.StatusTooManyRequests
	switch {
	case number != "" && !passing:
		return "the directory refuses the application: " + number
	case e.ErrorCode == "invalid_client" && !passing:
		return "the directory refuses the credential: make a new one in Entra and enter it here"
	}
	return fmt.Sprintf("the directory answered with status %d: try again in a moment", status)
}
