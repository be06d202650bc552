package pull

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bizzstream/bizzscim/directory"
)

// newcomers plans for the people of the read who are in no synced group of ours: users whom push
// has provisioned without a membership, and those who do not exist.
func (p *planner) newcomers() error {
	for i := range p.read.people {
		person := &p.read.people[i]
		if p.matched[i] {
			continue
		}
		if person.Guest && !p.env.Integration.Guests {
			p.guests++
			continue
		}
		if err := p.newcomer(i, person); err != nil {
			return err
		}
	}
	return nil
}

func (p *planner) newcomer(i int, person *Person) error {
	u, clash, err := p.find(i, person)
	switch {
	case err != nil:
		return err
	case clash != "":
		p.conflict(u, person, clash)
	case u != nil:
		p.matched[i] = true
		return p.compare(u, p.rowsOf(u.ID), i)
	case person.Enabled:
		return p.provision(i)
	}
	return nil
}

// find looks for the user of a person outside of the synced groups.
func (p *planner) find(i int, person *Person) (u *directory.User, clash string, err error) {
	ids, err := p.sn.UsersByObjectID(p.tenant.ID, person.ID)
	if err != nil {
		return nil, "", err
	}
	switch len(ids) {
	case 1:
		u, err = p.sn.User(p.tenant.ID, ids[0])
		return u, "", err
	case 0:
	default:
		return nil, "several users have this object id; delete all but one of them in the SCIM client", nil
	}
	name := userNameOf(p.tenant, person)
	if name == "" {
		return nil, "the directory has no mail address to make the userName from", nil
	}
	id, err := p.sn.UserByName(p.tenant.ID, name)
	if err != nil || id.IsZero() {
		return nil, "", err
	}
	if u, err = p.sn.User(p.tenant.ID, id); err != nil {
		return nil, "", err
	}
	if !u.ObjectID.IsZero() { // another person's: resolveNames decides who gets it
		return nil, "", nil
	}
	if n, ok := p.read.named(p.fold, p.tenant, name); !ok || n != i {
		return u, "several people of the directory get this userName; nobody can tell whose this user is", nil
	}
	return u, "", nil
}

// provision plans a new user.
func (p *planner) provision(i int) error {
	person := &p.read.people[i]
	name := userNameOf(p.tenant, person)
	yes := true
	e := &entry{PlanItem: directory.PlanItem{Kind: directory.ItemCreate, ObjectID: person.ID, UserName: name, Name: person.DisplayName,
		Reason: "in a Group to Sync, and not known", Outcome: directory.OutcomePlanned},
		object: person.ID, newName: p.fold(name),
		overrides: &directory.Overrides{UserName: name, ExternalID: person.ID.String(), DisplayName: person.DisplayName,
			GivenName: person.GivenName, FamilyName: person.Surname, Email: person.Mail, Language: person.PreferredLanguage, Active: &yes}}
	clash, err := p.twin(person)
	if err != nil {
		return err
	}
	former, err := p.sn.FormerPerson(p.tenant.ID, person.ID, name)
	if err != nil {
		return err
	}
	switch {
	case clash != "":
	case former != nil:
		e.Kind, e.Reason, e.needs = directory.ItemReattach, "in a Group to Sync; was provisioned before and deleted by push", true
	default:
		if err := p.sn.AdoptionProblem(p.tenant.ID, name, nonEmpty(person.Mail)...); err != nil {
			clash = detailOf(err)
		}
	}
	if clash != "" {
		p.conflict(nil, person, clash)
		return nil
	}
	var kept []string
	e.join, kept = p.places(p.read.direct[i], kept)
	e.inNew, kept = p.places(p.read.through[i], kept)
	if len(kept) > 0 {
		e.Detail = "push deleted " + strings.Join(kept, ", ") + " and has to bring it back; an operator may with sync --restore"
	}
	if !e.moves() {
		e.Outcome = directory.OutcomeWithheld
	}
	e.Changes = []directory.Change{change("userName", "", name)}
	for _, f := range []struct{ name, value string }{{"displayName", person.DisplayName}, {"email", person.Mail}} {
		if f.value != "" {
			e.Changes = append(e.Changes, change(f.name, "", f.value))
		}
	}
	p.tellMoves(e)
	p.entries = append(p.entries, e)
	return nil
}

// places are those of some groups that a new user may be put into. Those that push has deleted are
// push's to bring back: their names are added to kept.
func (p *planner) places(numbers []uint16, kept []string) (open []uint16, taken []string) {
	for _, n := range numbers {
		if g := &p.groups[n]; len(g.ids) == 0 && g.taken && !p.restore {
			kept = append(kept, g.name)
		} else {
			open = append(open, n)
		}
	}
	return open, kept
}

// twin says why a new person may be a user whom we have: one of the same e-mail address whose object
// id is not known.
func (p *planner) twin(person *Person) (string, error) {
	if person.Mail == "" {
		return "", nil
	}
	same, err := p.sn.UsersByEmail(p.tenant.ID, person.Mail)
	if err != nil {
		return "", err
	}
	for _, id := range same {
		u, err := p.sn.User(p.tenant.ID, id)
		if err != nil {
			return "", err
		}
		if u.ObjectID.IsZero() {
			return fmt.Sprintf("user %s has the same e-mail address and no known object id: it may be the same person; map objectId to externalId in the provisioning mappings", u.UserName), nil
		}
	}
	return "", nil
}

// resolveNames finds who holds a userName that an entry takes. Another entry may give it up; an
// inactive user whom the directory calls by another object id gives way, as in Entra itself, where a
// deleted user's name is freed; a name that an active user keeps is a conflict. Who does not get a
// new name gives none up, so it is looked at again after each clash.
func (p *planner) resolveNames() error {
	// Who comes first gets the name, and one and the same plan has the same numbers, in whatever order
	// the directory lists people.
	slices.SortStableFunc(p.entries, byPerson)
	for clashed := true; clashed; {
		clashed = false
		giving, taking := p.givers(), map[string]*entry{}
		for _, e := range slices.Clone(p.entries) {
			if e.newName == "" || e.parks || e.Outcome != directory.OutcomePlanned {
				continue
			}
			why, err := p.nameTaken(e, giving, taking)
			if err != nil {
				return err
			}
			if why == "" {
				taking[e.newName] = e
				continue
			}
			clashed = true
			delete(giving, e.oldName)
			e.clash(why)
		}
	}
	return nil
}

// givers are the entries that give a userName up, by the folded name, whatever their outcome is but
// a conflict.
func (p *plan) givers() map[string]*entry {
	giving := map[string]*entry{}
	for _, e := range p.entries {
		if e.oldName != "" && e.Outcome != directory.OutcomeConflict {
			giving[e.oldName] = e
		}
	}
	return giving
}

// nameTaken says why an entry cannot have the userName that it takes.
func (p *planner) nameTaken(e *entry, giving, taking map[string]*entry) (string, error) {
	if taking[e.newName] != nil {
		return "another person of this plan gets the same userName", nil
	}
	if giving[e.newName] != nil {
		return "", nil
	}
	id, err := p.sn.UserByName(p.tenant.ID, e.newName)
	if err != nil || id.IsZero() || id == e.UserID {
		return "", err
	}
	holder, err := p.sn.User(p.tenant.ID, id)
	if err != nil {
		return "", err
	}
	if _, here := p.read.byID[holder.ObjectID]; holder.Active || here || holder.ObjectID.IsZero() {
		return fmt.Sprintf("the userName %s is that of another user, with another object id; it is free once that user is renamed or deleted", e.overrides.UserName), nil
	}
	p.park(holder, giving)
	return "", nil
}

// park renames an inactive user as Entra does with a deleted one.
func (p *planner) park(holder *directory.User, giving map[string]*entry) {
	e := p.begin(holder)
	e.overrides = &directory.Overrides{UserName: strings.ReplaceAll(holder.ObjectID.String(), "-", "") + holder.UserName}
	e.parks, e.oldName, e.newName = true, p.fold(holder.UserName), p.fold(e.overrides.UserName)
	e.Reason = "inactive, and its userName is another person's now"
	e.Changes = []directory.Change{change("userName", holder.UserName, e.overrides.UserName)}
	giving[e.oldName] = p.keep(e)
}

// clash makes a conflict of an entry whose name is taken. Where there is more to do about the person
// than the name, that is done.
func (e *entry) clash(why string) {
	e.Changes = slices.DeleteFunc(e.Changes, func(c directory.Change) bool { return c.Name == "userName" })
	rest := len(e.Changes) > 0 || e.Kind != directory.ItemUpdate
	e.newName, e.oldName = "", ""
	if e.UserID.IsZero() || !rest {
		e.Kind, e.Reason, e.Changes, e.takes, e.needs = directory.ItemConflict, why, nil, nil, false
		e.set(directory.OutcomeConflict, "")
		return
	}
	e.Detail = why
	if e.overrides.UserName = ""; *e.overrides == (directory.Overrides{}) {
		e.overrides = nil
	}
}

// follow leaves out those who take a userName that its holder does not give up now.
func (p *plan) follow() {
	giving := p.givers()
	for again := true; again; {
		again = false
		for _, e := range p.entries {
			holder := giving[e.newName]
			if e.newName == "" || e.Outcome != directory.OutcomePlanned || holder == nil || holder.Outcome == directory.OutcomePlanned {
				continue
			}
			again = true
			e.set(holder.Outcome, "takes the userName of "+holder.UserName+", which is not done now: "+holder.Detail)
		}
	}
}

// batches puts together those who must change at once, because one takes the userName that another
// gives up, in the order of the plan.
func (p *plan) batches() (batches [][]*entry) {
	giving, of := p.givers(), map[*entry]int{}
	for _, e := range p.entries {
		if e.Outcome != directory.OutcomePlanned {
			continue
		}
		n, placed := of[e]
		if !placed {
			n = len(batches)
			batches, of[e] = append(batches, []*entry{e}), n
		}
		holder := giving[e.newName]
		if e.newName == "" || holder == nil {
			continue
		}
		m, placed := of[holder]
		switch {
		case !placed:
			batches[n], of[holder] = append(batches[n], holder), n
		case m != n:
			for _, x := range batches[m] {
				of[x] = n
			}
			batches[n], batches[m] = append(batches[n], batches[m]...), nil
		}
	}
	return slices.DeleteFunc(batches, func(b []*entry) bool { return len(b) == 0 })
}
