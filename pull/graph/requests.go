package graph

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	abstractions "github.com/microsoft/kiota-abstractions-go"
	core "github.com/microsoftgraph/msgraph-sdk-go-core"
	"github.com/microsoftgraph/msgraph-sdk-go-core/authentication"
	"github.com/microsoftgraph/msgraph-sdk-go/groups"
	"github.com/microsoftgraph/msgraph-sdk-go/users"

	"github.com/bizzstream/bizzscim/pull"
	"github.com/bizzstream/bizzscim/pull/graph/reader"
)

// requests makes requests with Microsoft's SDK. It implements reader.Requests.
type requests struct {
	base      *url.URL
	scopes    []string
	token     *credential
	auth      *authentication.AzureIdentityAuthenticationProvider
	adapter   *core.GraphRequestAdapterBase
	groups    *groups.GroupsRequestBuilder
	users     *users.UsersRequestBuilder
	scheduled bool
}

func newRequests(base *url.URL, token *credential, scheduled bool) (*requests, error) {
	r := &requests{base: base, token: token, scheduled: scheduled}
	r.scopes = []string{base.Scheme + "://" + base.Host + "/.default"}
	return r, reader.Contain(library, func() (err error) {
		// The token goes to Graph's host and to no other, whatever address a request has.
		r.auth, err = authentication.NewAzureIdentityAuthenticationProviderWithScopesAndValidHosts(
			token, r.scopes, []string{base.Hostname()})
		if err != nil {
			return fault(err)
		}
		// The SDK's client is not used to send; without one of ours it would make one with its retries.
		r.adapter, err = core.NewGraphRequestAdapterBaseWithParseNodeFactoryAndSerializationWriterFactoryAndHttpClient(
			r.auth, core.GraphClientOptions{}, nil, nil, &http.Client{Transport: refuse{}})
		if err != nil {
			return fault(err)
		}
		r.adapter.SetBaseUrl(base.String())
		path := func() map[string]string { return map[string]string{"baseurl": base.String()} }
		r.groups = groups.NewGroupsRequestBuilderInternal(path(), r.adapter)
		r.users = users.NewUsersRequestBuilderInternal(path(), r.adapter)
		return nil
	})
}

// refuse is the transport of the SDK's own client: nothing is sent behind our back.
type refuse struct{}

func (refuse) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("graph: the SDK sent a request itself")
}

const library = "Microsoft's library for Graph"

// fault is the error for a failure of the SDK before anything was sent.
func fault(err error) error {
	return &pull.Error{Class: pull.Malformed, Detail: library + " refused to make a request; please report it with the server's log", Err: err}
}

// Token gets a token, from the library's memory where it has one.
func (r *requests) Token(ctx context.Context) error {
	_, err := r.token.GetToken(ctx, policy.TokenRequestOptions{Scopes: r.scopes, EnableCAE: true})
	return err
}

// Request makes a request with a token.
func (r *requests) Request(ctx context.Context, claims string, q reader.Query) (req *http.Request, err error) {
	err = reader.Contain(library, func() error {
		info, err := r.information(ctx, q)
		if err != nil {
			return fault(err)
		}
		if claims != "" {
			if err := r.auth.AuthenticateRequest(ctx, info, map[string]any{"claims": claims}); err != nil {
				return r.token.failure(err)
			}
		}
		native, err := r.adapter.ConvertToNativeRequest(ctx, info) // asks for the token, unless it is there
		if err != nil {
			return r.token.failure(err)
		}
		var ok bool
		if req, ok = native.(*http.Request); !ok {
			return fault(fmt.Errorf("the request is a %T", native))
		}
		if req.Header.Get("Authorization") == "" {
			return fault(errors.New("the request has no token"))
		}
		req.ContentLength = int64(len(info.Content))
		r.dress(req, q)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return req, nil
}

// dress adds to a request what the SDK leaves to its client.
func (r *requests) dress(req *http.Request, q reader.Query) {
	if q.Op != reader.OpNext { // the address of a next page is taken as it is
		plainDollar(req.URL)
	}
	req.Header.Set("User-Agent", userAgent)
	if r.scheduled {
		req.Header.Set("X-Ms-Throttle-Priority", "low")
	}
}

// plainDollar writes $select as Graph's documentation does; the templates of the SDK have %24select.
func plainDollar(u *url.URL) { u.RawQuery = strings.ReplaceAll(u.RawQuery, "%24", "$") }

// Path is the address of a request below the version.
func (r *requests) Path(ctx context.Context, q reader.Query) (path string, err error) {
	err = reader.Contain(library, func() error {
		info, err := r.information(ctx, q)
		if err != nil {
			return fault(err)
		}
		u, err := info.GetUri()
		if err != nil {
			return fault(err)
		}
		plainDollar(u)
		path = strings.TrimPrefix(u.RequestURI(), r.base.Path)
		return nil
	})
	return path, err
}

// information describes a request with the SDK's builders.
func (r *requests) information(ctx context.Context, q reader.Query) (*abstractions.RequestInformation, error) {
	top := int32(q.Top)
	switch q.Op {
	case reader.OpGroup:
		return r.groups.ByGroupId(q.ID).ToGetRequestInformation(ctx, &groups.GroupItemRequestBuilderGetRequestConfiguration{
			QueryParameters: &groups.GroupItemRequestBuilderGetQueryParameters{Select: []string{"id", "displayName"}},
		})
	case reader.OpGroups:
		return r.groups.ToGetRequestInformation(ctx, &groups.GroupsRequestBuilderGetRequestConfiguration{
			QueryParameters: &groups.GroupsRequestBuilderGetQueryParameters{Select: []string{"id"}, Top: &top},
		})
	case reader.OpFindGroups:
		filter := q.Filter()
		return r.groups.ToGetRequestInformation(ctx, &groups.GroupsRequestBuilderGetRequestConfiguration{
			QueryParameters: &groups.GroupsRequestBuilderGetQueryParameters{Select: []string{"id", "displayName"}, Filter: &filter, Top: &top},
		})
	case reader.OpUser:
		return r.users.ByUserId(q.ID).ToGetRequestInformation(ctx, &users.UserItemRequestBuilderGetRequestConfiguration{
			QueryParameters: &users.UserItemRequestBuilderGetQueryParameters{Select: []string{"id", "accountEnabled"}},
		})
	case reader.OpPerson:
		return r.users.ByUserId(q.ID).ToGetRequestInformation(ctx, &users.UserItemRequestBuilderGetRequestConfiguration{
			QueryParameters: &users.UserItemRequestBuilderGetQueryParameters{Select: reader.Properties},
		})
	case reader.OpUsers:
		return r.users.ToGetRequestInformation(ctx, &users.UsersRequestBuilderGetRequestConfiguration{
			QueryParameters: &users.UsersRequestBuilderGetQueryParameters{Select: []string{"id", "accountEnabled"}, Top: &top},
		})
	case reader.OpCheckGroups:
		b := r.users.ByUserId(q.ID).CheckMemberGroups()
		return abstractions.NewRequestInformationWithMethodAndUrlTemplateAndPathParameters(abstractions.POST, b.UrlTemplate, b.PathParameters), nil
	case reader.OpBatch:
		info := abstractions.NewRequestInformationWithMethodAndUrlTemplateAndPathParameters(
			abstractions.POST, "{+baseurl}/$batch", map[string]string{"baseurl": r.base.String()})
		info.Headers.Add("Accept", "application/json")
		info.SetStreamContentAndContentType(q.Body, "application/json")
		return info, nil
	}
	return r.members(ctx, q)
}

// members describes the requests of a list of members. A next page has its query in its address.
func (r *requests) members(ctx context.Context, q reader.Query) (*abstractions.RequestInformation, error) {
	headers := abstractions.NewRequestHeaders()
	headers.Add("ConsistencyLevel", "eventual")
	top, count := int32(q.Top), true
	switch {
	case q.Op == reader.OpNext:
		return r.groups.WithUrl(q.Link).ToGetRequestInformation(ctx, &groups.GroupsRequestBuilderGetRequestConfiguration{Headers: headers})
	case q.Op == reader.OpMember:
		filter := "id eq '" + q.Member + "'"
		return r.groups.ByGroupId(q.ID).Members().ToGetRequestInformation(ctx, &groups.ItemMembersRequestBuilderGetRequestConfiguration{
			Headers:         headers,
			QueryParameters: &groups.ItemMembersRequestBuilderGetQueryParameters{Select: []string{"id"}, Filter: &filter, Count: &count},
		})
	case q.Op == reader.OpMembers && !q.Transitive:
		return r.groups.ByGroupId(q.ID).Members().ToGetRequestInformation(ctx, &groups.ItemMembersRequestBuilderGetRequestConfiguration{
			Headers:         headers,
			QueryParameters: &groups.ItemMembersRequestBuilderGetQueryParameters{Select: reader.Properties, Top: &top, Count: &count},
		})
	case q.Op == reader.OpMembers:
		return r.groups.ByGroupId(q.ID).TransitiveMembers().ToGetRequestInformation(ctx, &groups.ItemTransitiveMembersRequestBuilderGetRequestConfiguration{
			Headers:         headers,
			QueryParameters: &groups.ItemTransitiveMembersRequestBuilderGetQueryParameters{Select: reader.Properties, Top: &top, Count: &count},
		})
	case q.Op == reader.OpCount && !q.Transitive:
		return r.groups.ByGroupId(q.ID).Members().Count().ToGetRequestInformation(ctx, &groups.ItemMembersCountRequestBuilderGetRequestConfiguration{Headers: headers})
	case q.Op == reader.OpCount:
		return r.groups.ByGroupId(q.ID).TransitiveMembers().Count().ToGetRequestInformation(ctx, &groups.ItemTransitiveMembersCountRequestBuilderGetRequestConfiguration{Headers: headers})
	}
	return nil, fmt.Errorf("no request %d", q.Op)
}
