package api

import (
	"context"
	"net/http"

	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

// UserPath names a user. It is exported so that inputs can embed it: see add.
type UserPath struct {
	User directory.ID `path:"user" doc:"Id of the account"`
}

// AccessPath names an access.
type AccessPath struct {
	Environment directory.ID `path:"environment"`
	User        directory.ID `path:"user" doc:"Id of the account"`
}

// GroupPath names a group.
type GroupPath struct {
	Tenant directory.ID `path:"tenant"`
	Group  directory.ID `path:"group"`
}

// users are people with their accesses and sessions, the groups of directories, and menus.
func (h *Handler) users() {
	h.userRoutes()
	h.accessRoutes()
	h.groupRoutes()
}

func (h *Handler) userRoutes() {
	d := h.config.Desk
	add(h, operation{method: http.MethodGet, path: "/users", id: "listUsers", tag: "Users", scope: "users:read",
		summary: "List users", description: "Those that the token reaches. With a text, those whose userName or e-mail address begins with it come first."},
		func(ctx context.Context, by directory.Actor, in *struct {
			PageInput
			Text        string       `query:"text" maxLength:"256" doc:"In the userName, an e-mail address or the name"`
			Source      string       `query:"source" maxLength:"36" doc:"internal, or the id of a tenant"`
			Environment directory.ID `query:"environment" doc:"Who has or had access to it"`
			State       string       `query:"state" enum:"active,inactive" doc:"With or without an active access"`
		}) (*body[desk.Users], error) {
			return answer(d.Users(ctx, by, desk.UserFilter{Text: in.Text, Source: in.Source, EnvironmentID: in.Environment, State: in.State}, in.page()))
		})
	add(h, operation{method: http.MethodGet, path: "/users/{user}", id: "getUser", tag: "Users", scope: "users:read",
		summary: "Get a user", description: "With each access, and why it is active or not."},
		func(ctx context.Context, by directory.Actor, in *UserPath) (*body[desk.UserDetail], error) {
			return answer(d.User(ctx, by, in.User))
		})
	add(h, operation{method: http.MethodPatch, path: "/users/{user}", id: "updateUser", tag: "Users", scope: "users:write",
		summary: "Change a user", description: "What is absent stays. What an internal user is called everywhere is for operators; what a directory manages is refused with 409, naming the directory. The default environment, of external users too, is for whoever reaches it: one that the user has active access to, else 409; null takes the choice back. When any of it is refused, nothing changes."},
		func(ctx context.Context, by directory.Actor, in *struct {
			UserPath
			Body desk.UserEdit
		}) (*body[desk.UserDetail], error) {
			return answer(d.EditUser(ctx, by, in.User, in.Body))
		})
	add(h, operation{method: http.MethodGet, path: "/users/{user}/accesses", id: "listUserAccesses", tag: "Users", scope: "users:read",
		summary: "List the accesses of a user", description: "Each environment that the user has to do with, why there is access or none, and the groups that give it."},
		func(ctx context.Context, by directory.Actor, in *UserPath) (*body[desk.List[desk.Access]], error) {
			u, err := d.User(ctx, by, in.User)
			return answer(desk.List[desk.Access]{Items: u.Explained, Total: int64(len(u.Explained))}, err)
		})
	add(h, operation{method: http.MethodGet, path: "/users/{user}/history", id: "listUserHistory", tag: "Users", scope: "log:read",
		summary: "What has happened to a user", description: "Newest first, at most 50 lines."},
		func(ctx context.Context, by directory.Actor, in *UserPath) (*body[desk.List[desk.HistoryLine]], error) {
			return answer(d.PersonHistory(ctx, by, in.User))
		})
	add(h, operation{method: http.MethodGet, path: "/users/{user}/sessions", id: "listUserSessions", tag: "Users", scope: "users:read",
		summary: "List the live sessions of a user", description: "With where from, and how the person signed in. For operators."},
		func(ctx context.Context, by directory.Actor, in *UserPath) (*body[desk.List[desk.Session]], error) {
			return answer(d.Sessions(ctx, by, in.User))
		})
	add(h, operation{method: http.MethodDelete, path: "/users/{user}/sessions", id: "endUserSessions", tag: "Users", scope: "users:write", status: http.StatusNoContent,
		summary: "Sign a user out everywhere", description: "Ends all live sessions of the person at once; it is no error when there is none. Who may still sign in can do so again. For operators."},
		func(ctx context.Context, by directory.Actor, in *UserPath) (*struct{}, error) {
			return &struct{}{}, d.EndSession(ctx, by, in.User, directory.ID{})
		})
	add(h, operation{method: http.MethodDelete, path: "/users/{user}/sessions/{session}", id: "endUserSession", tag: "Users", scope: "users:write", status: http.StatusNoContent,
		summary: "Sign a user out of one browser", description: "Ends one session at once; it is no error when it has ended. 404 for a session of somebody else. For operators."},
		func(ctx context.Context, by directory.Actor, in *struct {
			UserPath
			Session directory.ID `path:"session"`
		}) (*struct{}, error) {
			return &struct{}{}, d.EndSession(ctx, by, in.User, in.Session)
		})
	add(h, operation{method: http.MethodPost, path: "/users/{user}/sync", id: "syncUser", tag: "Users", scope: "users:write",
		summary: "Sync one user", description: "Has the directory asked about the person, and waits for what comes of it. Who is provisioned already is not read again: changes come with push, or with the next run. For operators, and administrators of an environment that the person has to do with. 409 for a person whom no directory manages; 503 when the directory cannot be asked."},
		func(ctx context.Context, by directory.Actor, in *UserPath) (*body[provisioned], error) {
			is, err := d.SyncPerson(ctx, by, in.User)
			return answer(provisioned{is}, err)
		})
	add(h, operation{method: http.MethodPost, path: "/users/{user}/invite", id: "inviteUser", tag: "Users", scope: "users:write",
		summary: "Invite an internal user again", description: "Mails another link to set a password; without a mail server the link is in this answer and nowhere else. Links made before end. For operators. 409 for an external user, who signs in with their directory."},
		func(ctx context.Context, by directory.Actor, in *UserPath) (*body[invited], error) {
			out, err := d.InvitePerson(ctx, by, in.User)
			return answer(invited{out.Mailed, out.Link}, err)
		})
	add(h, operation{method: http.MethodPost, path: "/users/{user}/forget-subject", id: "forgetSubject", tag: "Users", scope: "users:write", status: http.StatusNoContent,
		summary: "Let the next sign-in pin the person anew", description: "After the directory has been moved: what its sign-in knows an external user by is forgotten, and taken from the next sign-in. For operators. 404 when nothing is pinned; 409 for an internal user."},
		func(ctx context.Context, by directory.Actor, in *UserPath) (*struct{}, error) {
			return &struct{}{}, d.ForgetSubject(ctx, by, in.User)
		})
	add(h, operation{method: http.MethodGet, path: "/conflicts", id: "listConflicts", tag: "Users", scope: "users:read",
		summary: "List people who could not be provisioned", description: "What is in the way, and the internal user who has the address where the token reaches them. As far as the latest 1,000 lines of each tenant's log tell."},
		func(ctx context.Context, by directory.Actor, in *struct{ PageInput }) (*body[desk.List[desk.Conflict]], error) {
			return answer(d.Conflicts(ctx, by, in.page()))
		})
}

type invited struct {
	Mailed bool   `json:"mailed" doc:"A link was handed to the mail server, for the address itself"`
	Link   string `json:"link,omitempty" doc:"A link to set a password, shown once, where no mail is sent"`
}

type provisioned struct {
	Provisioned bool `json:"provisioned" doc:"Whether the user is provisioned by now"`
}

func (h *Handler) accessRoutes() {
	d := h.config.Desk
	add(h, operation{method: http.MethodGet, path: "/accesses", id: "listAccesses", tag: "Accesses", scope: "users:read",
		summary: "List the accesses to an environment", description: "Of everybody who has or had one: with the menus, why it is active or not, and the groups that give it."},
		func(ctx context.Context, by directory.Actor, in *struct {
			PageInput
			Environment directory.ID `query:"environment" required:"true"`
			State       string       `query:"state" enum:"active,inactive"`
		}) (*body[desk.List[desk.Access]], error) {
			return answer(d.Accesses(ctx, by, in.Environment, in.State, in.page()))
		})
	add(h, operation{method: http.MethodPost, path: "/environments/{environment}/users", id: "addEnvironmentUser", tag: "Accesses", scope: "users:write", status: http.StatusCreated,
		summary: "Add an internal user to an environment", description: "Who has the e-mail address gains access; else an account is made, and a link to set its password is mailed to the address. Without a mail server the link is in the answer to an operator; to others pending is true, and an operator makes one. For operators and administrators of the environment. 409 for a person whom a directory manages, and for one who has access."},
		func(ctx context.Context, by directory.Actor, in *struct {
			Environment directory.ID `path:"environment"`
			Body        desk.NewUser
		}) (*body[desk.Added], error) {
			return answer(d.AddUser(ctx, by, in.Environment, in.Body))
		})
	add(h, operation{method: http.MethodPatch, path: "/environments/{environment}/users/{user}", id: "updateAccess", tag: "Accesses", scope: "users:write",
		summary: "Change an access", description: "What is absent stays. Of an external user the menus alone: anything else is refused with 409, naming the directory. active: false deactivates the access of an internal user and keeps its menus; 409 for that of the last administrator. For operators and administrators of the environment."},
		func(ctx context.Context, by directory.Actor, in *struct {
			AccessPath
			Body desk.AccessEdit
		}) (*body[desk.Access], error) {
			return answer(d.EditAccess(ctx, by, in.Environment, in.User, in.Body))
		})
	add(h, operation{method: http.MethodGet, path: "/environments/{environment}/menus", id: "getMenus", tag: "Accesses", scope: "environments:read",
		summary: "Get the menus of an environment", description: "Which menus BizzStream has said that the environment has. They are what accesses and the Default menu are chosen from; an access may hold a menu that is not among them any more."},
		func(ctx context.Context, by directory.Actor, in *struct {
			Environment directory.ID `path:"environment"`
		}) (*body[desk.Menus], error) {
			return answer(d.Menus(ctx, by, in.Environment))
		})
	add(h, operation{method: http.MethodPut, path: "/environments/{environment}/menus", id: "setMenus", tag: "Accesses", scope: "environments:write",
		summary: "Say which menus an environment has", description: "All of them, in place of those before. They are offered where menus are chosen; accesses keep what they have. For operators and administrators of the environment."},
		func(ctx context.Context, by directory.Actor, in *struct {
			Environment directory.ID `path:"environment"`
			Body        desk.Menus
		}) (*body[desk.Menus], error) {
			return answer(d.SetMenus(ctx, by, in.Environment, in.Body))
		})
}

func (h *Handler) groupRoutes() {
	d := h.config.Desk
	add(h, operation{method: http.MethodGet, path: "/groups", id: "listGroups", tag: "Groups", scope: "users:read",
		summary: "List the groups of a tenant", description: "By name. A token of an environment administrator sees no tenant, and asks without one: it gets the Groups to Sync of its environments."},
		func(ctx context.Context, by directory.Actor, in *struct {
			PageInput
			Tenant directory.ID `query:"tenant" doc:"Absent: the first one that the token reaches"`
			Text   string       `query:"text" maxLength:"256" doc:"The beginning of the name"`
		}) (*body[desk.List[desk.Group]], error) {
			return answer(d.Groups(ctx, by, desk.GroupFilter{Text: in.Text, TenantID: in.Tenant}, in.page()))
		})
	add(h, operation{method: http.MethodGet, path: "/groups/{tenant}/{group}", id: "getGroup", tag: "Groups", scope: "users:read",
		summary: "Get a group", description: "With the environments that use it and the groups that it is a member of, as far as the token reaches them."},
		func(ctx context.Context, by directory.Actor, in *GroupPath) (*body[desk.GroupDetail], error) {
			return answer(d.Group(ctx, by, in.Tenant, in.Group))
		})
	add(h, operation{method: http.MethodGet, path: "/groups/{tenant}/{group}/members", id: "listMembers", tag: "Groups", scope: "users:read",
		summary: "List the direct members of a group", description: "Users and groups, in pages. A token of an environment administrator is told of those whom it reaches."},
		func(ctx context.Context, by directory.Actor, in *struct {
			PageInput
			GroupPath
		}) (*body[desk.List[desk.Member]], error) {
			return answer(d.Members(ctx, by, in.Tenant, in.Group, in.page()))
		})
}
