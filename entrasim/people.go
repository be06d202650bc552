package entrasim

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// culture is a stock of names and the places where people who bear them mostly work.
type culture struct {
	given, surnames []string
	places          []int // indices into places
}

var cultures = []culture{
	{ // Low Countries
		[]string{"Femke", "Sanne", "Daan", "Bram", "Lotte", "Thijs", "Noor", "Jan-Willem", "Anne-Fleur", "Maud", "Sjoerd", "Ruud", "Mariëlle", "Joëlle", "Geert", "Zoë"},
		[]string{"de Vries", "van den Berg", "Jansen", "Bakker", "van der Meer", "'t Hooft", "Visser", "Smit", "Mulder-van Dijk", "de Groot", "Hoekstra", "op den Kamp", "van 't Hek", "Bosmans", "De Smedt", "Ménagé"},
		[]int{0, 1, 2},
	},
	{ // Nordic
		[]string{"Åsa", "Björn", "Søren", "Øyvind", "Ingrid", "Signe", "Håkon", "Freja", "Jørgen", "Linnéa", "Päivi", "Mikko", "Guðrún", "Þórdís", "Karl-Johan", "Ægir"},
		[]string{"Lindström", "Sørensen", "Ångström", "Bjørnstad", "Mäkinen", "Hämäläinen", "Þórsdóttir", "Nygård", "Østergaard", "Håkansson", "Dahl", "Sjöberg-Holm", "Jónsson", "Kjærgaard", "Fjeld", "Virtanen"},
		[]int{3, 4, 5, 6},
	},
	{ // Britain and Ireland
		[]string{"Niamh", "Siobhán", "Oliver", "Amelia", "Seán", "Imogen", "Callum", "Freya", "Mary-Kate", "Alasdair", "Beth", "Rhys"},
		[]string{"O'Connor", "O'Neill", "MacDonald", "Smith", "Fitzgerald", "Taylor-Brown", "Ní Bhriain", "D'Arcy", "Whitfield", "St. John", "Lloyd", "Ó Súilleabháin"},
		[]int{7},
	},
	{ // German-speaking
		[]string{"Jürgen", "Käthe", "Anneliese", "Götz", "Sören", "Maximilian", "Hans-Peter", "Änne", "Ulrike", "Maximiliana Charlotte Friederike"},
		[]string{"Müller", "Groß", "Schäfer", "von Hohenberg-Langenfeld zu Schwarzenstein", "Weiß", "Köhler", "Müller-Lüdenscheidt", "Jäger", "Bürgi", "Zimmermann"},
		[]int{8},
	},
	{ // Iberian
		[]string{"José María", "Inês", "Íñigo", "Begoña", "João", "María del Carmen", "Núria", "Gonçalo", "Lucía", "Xoán"},
		[]string{"García Márquez", "Fernández-Peña", "dos Santos", "Ibáñez", "Gonçalves", "Muñoz de la Torre", "Assunção", "Ortega y Gasset", "Nuñez", "Pérez"},
		[]int{9, 10},
	},
	{ // Central Europe and France
		[]string{"Łukasz", "Zofia", "Élodie", "Anne-Sophie", "Jiří", "Małgorzata", "Françoise", "Žofie", "Benoît", "Dorottya"},
		[]string{"Wójcik", "Kowalczyk", "Lefèvre", "d'Aubigné", "Dvořák", "Szczęsny", "Kőszegi", "Le Goff", "Nováková", "Żak"},
		[]int{11},
	},
	{ // from farther away
		[]string{"Ayşe", "Mehmet", "Ngọc Anh", "Priya", "Wei", "Olumide", "Fatima-Zahra", "Yūko", "Abdul Rahman", "Nomvula", "Ioanna", "Çağla"},
		[]string{"Şahin", "Yıldırım", "Nguyễn", "Subramanian", "Li", "Adébáyò", "El Amrani", "Satō", "bin Yusof", "Dlamini", "Papadopoulou", "N'Diaye"},
		[]int{0, 3, 7, 8},
	},
}

type place struct {
	office, street, city, state, postal, country, iso, language, phone string
}

var places = []place{
	{"Rotterdam HQ", "Wilhelminakade 12", "Rotterdam", "Zuid-Holland", "3072 AP", "Netherlands", "NL", "nl-NL", "+31 10 555"},
	{"Utrecht CS 4.12", "Stationshal 1", "Utrecht", "Utrecht", "3511 ED", "Netherlands", "NL", "nl-NL", "+31 30 555"},
	{"Gent-Zuid", "Sint-Pietersnieuwstraat 8 bus 3", "Gent", "Oost-Vlaanderen", "9000", "Belgium", "BE", "nl-BE", "+32 9 555"},
	{"Aarhus Ø", "Østbanetorvet 2", "Aarhus", "", "8000", "Denmark", "DK", "da-DK", "+45 55 50"},
	{"Oslo Bjørvika", "Dronning Eufemias gate 30", "Oslo", "", "0191", "Norway", "NO", "nb-NO", "+47 555 50"},
	{"Göteborg Lindholmen", "Lindholmsallén 10", "Göteborg", "Västra Götaland", "417 55", "Sweden", "SE", "sv-SE", "+46 31 555"},
	{"Helsinki", "Mannerheimintie 5 A", "Helsinki", "Uusimaa", "00100", "Finland", "FI", "fi-FI", "+358 9 555"},
	{"Dublin Docklands", "12 Sir John Rogerson's Quay", "Dublin", "Leinster", "D02 X576", "Ireland", "IE", "en-IE", "+353 1 555"},
	{"München Süd", "Plinganserstraße 150", "München", "Bayern", "81369", "Germany", "DE", "de-DE", "+49 89 555"},
	{"Sevilla", "Calle de la Luna, 7, 2º izq.", "Sevilla", "Andalucía", "41003", "Spain", "ES", "es-ES", "+34 955 55"},
	{"Lisboa", "Rua do Ouro 100, 3.º Dto", "Lisboa", "", "1100-063", "Portugal", "PT", "pt-PT", "+351 21 555"},
	{"Kraków", "ul. Świętego Tomasza 11/4", "Kraków", "Małopolskie", "31-027", "Poland", "PL", "pl-PL", "+48 12 555"},
}

var departments = []string{
	"Finance", "Sales", "Customer Service", "Warehouse", "Human Resources", "Research & Development", "IT Operations",
	"Legal", "Marketing", "Purchasing", "Quality", "Kundeservice – Norden",
}

var titles = []string{
	"Account Manager", "Analyst", "Business Controller", "Buyer", "Engineer", "Senior Engineer", "Lead Developer",
	"Service Agent", "Team Lead", "Director", "Planner", "Legal Counsel", "Recruiter", "Data Steward", "Vice President, EMEA",
}

var partners = []string{"havenbedrijf.example", "nordlys-consult.example", "tri-star.example", "mueller-soehne.example"}

// folds maps letters outside ASCII to what mail addresses use for them. Letters not listed are dropped.
var folds = strings.NewReplacer(
	"á", "a", "à", "a", "â", "a", "ä", "a", "ã", "a", "å", "a", "ā", "a", "æ", "ae", "ç", "c", "č", "c", "é", "e", "è", "e",
	"ê", "e", "ë", "e", "ę", "e", "ě", "e", "ễ", "e", "ğ", "g", "í", "i", "ì", "i", "î", "i", "ï", "i", "ı", "i", "ł", "l",
	"ñ", "n", "ń", "n", "ó", "o", "ò", "o", "ô", "o", "ö", "o", "õ", "o", "ø", "o", "ő", "o", "ō", "o", "ọ", "o", "ř", "r", "ś", "s", "ş", "s",
	"ß", "ss", "ú", "u", "ù", "u", "û", "u", "ü", "u", "ū", "u", "ý", "y", "ż", "z", "ž", "z", "ð", "d", "þ", "th",
)

// slug turns a name into the local part of an address: lower-case ASCII letters, digits and hyphens.
func slug(s string) string {
	s = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return -1
	}, folds.Replace(strings.ToLower(s)))
	return strings.Trim(s[:min(len(s), 24)], "-")
}

func pick[T any](t *Tenant, from []T) T { return from[t.rng.IntN(len(from))] }

// chance is true in the given percentage of calls.
func (t *Tenant) chance(percent int) bool { return t.rng.IntN(100) < percent }

// invent makes up a person around what is given.
func (t *Tenant) invent(p Person) *User {
	c := pick(t, cultures)
	at := places[pick(t, c.places)]
	if t.chance(25) {
		at = pick(t, places)
	}
	or := func(given, drawn string) string {
		if given != "" {
			return given
		}
		return drawn
	}
	maybe := func(percent int, s string) string {
		if t.chance(percent) {
			return s
		}
		return ""
	}
	t.employees++
	u := &User{
		GivenName:         or(p.GivenName, pick(t, c.given)),
		Surname:           or(p.Surname, pick(t, pick(t, []culture{c, c, c, c, pick(t, cultures)}).surnames)),
		JobTitle:          or(p.JobTitle, maybe(93, pick(t, titles))),
		Department:        or(p.Department, pick(t, departments)),
		EmployeeID:        fmt.Sprintf("%06d", 10_000+t.employees),
		CompanyName:       maybe(80, "Nordwind Trading"),
		PreferredLanguage: maybe(85, at.language),
		BusinessPhone:     maybe(75, fmt.Sprintf("%s %02d %02d", at.phone, t.rng.IntN(100), t.rng.IntN(100))),
		MobilePhone:       maybe(60, fmt.Sprintf("%s 1%02d%02d", at.phone, t.rng.IntN(100), t.rng.IntN(100))),
		FaxNumber:         maybe(4, at.phone+" 99 99"),
		OfficeLocation:    at.office,
		StreetAddress:     at.street,
		City:              at.city,
		State:             at.state,
		PostalCode:        at.postal,
		Country:           at.country,
		UsageLocation:     at.iso,
		Manager:           p.Manager,
		UserType:          Member,
	}
	if p.HomeDomain != "" {
		u.UserType, u.EmployeeID, u.CompanyName, u.OfficeLocation = Guest, "", p.HomeDomain, ""
		u.BusinessPhone, u.FaxNumber, u.StreetAddress, u.PostalCode = "", "", "", ""
	}
	t.name(u, p.HomeDomain)
	return u
}

// name derives nickname, principal name, mail address and display name from the person's name.
func (t *Tenant) name(u *User, homeDomain string) {
	local := strings.Trim(slug(u.GivenName)+"."+slug(u.Surname), ".")
	if local == "" {
		local = "user"
	}
	upn := func(nick string) string {
		if u.UserType == Guest {
			return nick + "_" + homeDomain + "#EXT#@" + t.domain
		}
		return nick + "@" + t.domain
	}
	nick := local
	for {
		if owner, taken := t.upns[strings.ToLower(upn(nick))]; !taken || owner == u.ID {
			break
		}
		t.namesakes[local]++
		nick = fmt.Sprintf("%s%d", local, 1+t.namesakes[local])
	}
	u.MailNickname, u.UserPrincipalName, u.Mail = nick, upn(nick), nick+"@"+t.domain
	u.DisplayName = u.GivenName + " " + u.Surname
	if u.UserType == Guest {
		u.MailNickname = nick + "_" + homeDomain + "#EXT#"
		u.Mail = nick + "@" + homeDomain
		u.DisplayName += " (" + homeDomain + ")"
	}
}

func (t *Tenant) rename(u *User, surname string) {
	_, home, _ := strings.Cut(u.Mail, "@")
	u.Surname = surname
	t.name(u, home)
}

var groupKinds = []string{"Project %s", "SG-App-%s", "%s approvers", "Site %s", "%s readers", "Team %s", "DL %s", "%s (externals)"}

var groupTopics = []string{
	"Ørsund", "Phoenix", "Invoices", "Rotterdam", "BizzStream", "Expenses", "Contracts", "Åland", "Ledger", "Planning",
	"Returns", "Claims", "Café", "Dashboards", "Payroll", "Master Data", "Customs", "Tenders", "Safety", "Archive",
}

func (t *Tenant) groupName(i int) string {
	if i == 0 {
		return "All Staff"
	}
	if i <= len(departments) {
		return departments[i-1]
	}
	i -= len(departments) + 1
	n := fmt.Sprintf(groupKinds[i%len(groupKinds)], groupTopics[i/len(groupKinds)%len(groupTopics)])
	if round := i / (len(groupKinds) * len(groupTopics)); round > 0 {
		n += fmt.Sprintf(" %d", round+1)
	}
	return n
}

// Populate adds users and groups: one user in twenty a guest, a few disabled or deleted, managers by department, groups
// of very uneven size (one holds nearly everybody, some nobody) of which some contain other groups.
func (t *Tenant) Populate(users, groups int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	byDept := make(map[string][]string)
	var everyone []string
	for range users {
		var p Person
		p.Department = pick(t, departments)
		if t.chance(5) {
			p.HomeDomain = pick(t, partners)
		}
		if peers := byDept[p.Department]; len(peers) > 0 {
			p.Manager = peers[t.rng.IntN(len(peers)/8+1)] // the first ones lead
		}
		u := t.hire(p)
		byDept[u.Department] = append(byDept[u.Department], u.ID)
		everyone = append(everyone, u.ID)
	}
	var made []string
	for i := range groups {
		g := *t.createGroup(t.groupName(len(t.groupOrder)))
		switch {
		case i == 0:
			g.Members = t.sample(everyone, users*9/10)
		case slices.Contains(departments, g.DisplayName):
			g.Members = slices.Clone(byDept[g.DisplayName])
		case i%17 != 16: // every 17th stays empty
			g.Members = t.sample(everyone, max(users/(2*i), min(users, 2)))
		}
		if i%5 == 4 {
			g.Members = append(g.Members, pick(t, made))
		}
		t.setGroup(g.ID, &g)
		made = append(made, g.ID)
	}
	for _, id := range everyone {
		switch n := t.rng.IntN(100); {
		case n < 4:
			_ = t.changeLocked(id, func(u *User) error { u.AccountEnabled = false; return nil })
		case n < 5:
			_ = t.changeLocked(id, func(u *User) error { u.DeletedAt = t.now(); return nil })
		}
	}
}

// sample draws n different ids.
func (t *Tenant) sample(from []string, n int) []string {
	if n*3 > len(from) {
		all := slices.Clone(from)
		t.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		return all[:min(n, len(all))]
	}
	out, seen := make([]string, 0, n), make(map[string]bool, n)
	for len(out) < n {
		if id := pick(t, from); !seen[id] {
			seen[id] = true
			out = append(out, id)
		}
	}
	return out
}

// RandomChange applies n changes in the proportions of an ordinary working week (people join, move, leave, come back and
// marry; groups gain, lose and are renamed, but never deleted) and says what it did.
func (t *Tenant) RandomChange(n int) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expire()
	kinds := []struct {
		weight int
		apply  func() string // empty when there is nobody to apply it to
	}{
		{22, t.joiner}, {16, t.mover}, {10, t.promotion}, {8, t.marriage}, {8, t.deletion}, {7, t.leave}, {5, t.comeback},
		{5, t.restoration}, {1, t.purge}, {10, t.newMember}, {5, t.lostMember}, {2, t.groupRenamed}, {1, t.newGroup},
	}
	total := 0
	for _, k := range kinds {
		total += k.weight
	}
	done := make([]string, 0, n)
	for len(done) < n {
		at, what := t.rng.IntN(total), ""
		for _, k := range kinds {
			if at -= k.weight; at < 0 {
				what = k.apply()
				break
			}
		}
		if what == "" {
			what = t.joiner()
		}
		done = append(done, what)
	}
	return done
}

// someone draws a user that fits, or nil when chance does not find one soon.
func (t *Tenant) someone(fits func(*User) bool) *User {
	for range min(200, 4*len(t.userOrder)) {
		if u := t.users[pick(t, t.userOrder)]; fits(u) {
			return u
		}
	}
	return nil
}

func working(u *User) bool { return u.AccountEnabled && !u.Deleted() }

func (t *Tenant) someGroup(fits func(*Group) bool) *Group {
	for range min(100, 4*len(t.groupOrder)) {
		if g := t.groups[pick(t, t.groupOrder)]; fits(g) {
			return g
		}
	}
	return nil
}

func (t *Tenant) groupNamed(name string) *Group {
	for _, id := range t.groupOrder {
		if t.groups[id].DisplayName == name {
			return t.groups[id]
		}
	}
	return nil
}

func (t *Tenant) joiner() string {
	p := Person{Department: pick(t, departments)}
	if t.chance(8) {
		p.HomeDomain = pick(t, partners)
	}
	if boss := t.someone(func(u *User) bool { return working(u) && u.Department == p.Department }); boss != nil {
		p.Manager = boss.ID
	}
	u := t.hire(p)
	var joined []string
	for _, name := range []string{p.Department, "All Staff"} {
		if g := t.groupNamed(name); g != nil {
			t.addMember(g.ID, u.ID)
			joined = append(joined, g.DisplayName)
		}
	}
	if len(joined) == 0 && len(t.groupOrder) > 0 {
		g := t.groups[pick(t, t.groupOrder)]
		t.addMember(g.ID, u.ID)
		joined = append(joined, g.DisplayName)
	}
	return fmt.Sprintf("joiner: %s, %s, member of %s", u.DisplayName, u.Department, list(joined))
}

func (t *Tenant) mover() string {
	u := t.someone(working)
	if u == nil {
		return ""
	}
	from, to := u.Department, pick(t, departments)
	if from == to {
		return ""
	}
	_ = t.changeLocked(u.ID, func(u *User) error { u.Department = to; return nil })
	if g := t.groupNamed(from); g != nil {
		t.removeMember(g.ID, u.ID)
	}
	if g := t.groupNamed(to); g != nil {
		t.addMember(g.ID, u.ID)
	}
	return fmt.Sprintf("mover: %s from %s to %s", u.DisplayName, from, to)
}

func (t *Tenant) promotion() string {
	u := t.someone(working)
	if u == nil {
		return ""
	}
	title := pick(t, titles)
	if title == u.JobTitle {
		return ""
	}
	_ = t.changeLocked(u.ID, func(u *User) error { u.JobTitle = title; return nil })
	return fmt.Sprintf("new title: %s is %s", u.DisplayName, title)
}

func (t *Tenant) marriage() string {
	u := t.someone(working)
	if u == nil {
		return ""
	}
	surname := pick(t, pick(t, cultures).surnames)
	if surname == u.Surname {
		return ""
	}
	_ = t.changeLocked(u.ID, func(u *User) error { t.rename(u, surname); return nil })
	return fmt.Sprintf("rename: %s is now %s", u.DisplayName, t.users[u.ID].DisplayName)
}

func (t *Tenant) deletion() string {
	u := t.someone(working)
	if u == nil {
		return ""
	}
	_ = t.changeLocked(u.ID, func(u *User) error { u.DeletedAt = t.now(); return nil })
	return fmt.Sprintf("leaver: %s deleted", u.DisplayName)
}

func (t *Tenant) leave() string {
	u := t.someone(working)
	if u == nil {
		return ""
	}
	_ = t.changeLocked(u.ID, func(u *User) error { u.AccountEnabled = false; return nil })
	return fmt.Sprintf("leaver: %s disabled", u.DisplayName)
}

func (t *Tenant) comeback() string {
	u := t.someone(func(u *User) bool { return !u.AccountEnabled && !u.Deleted() })
	if u == nil {
		return ""
	}
	_ = t.changeLocked(u.ID, func(u *User) error { u.AccountEnabled = true; return nil })
	return fmt.Sprintf("back: %s enabled", u.DisplayName)
}

func (t *Tenant) restoration() string {
	u := t.someone(func(u *User) bool { return u.Deleted() })
	if u == nil || t.restore(u.ID) != nil {
		return ""
	}
	return fmt.Sprintf("back: %s restored", u.DisplayName)
}

func (t *Tenant) purge() string {
	u := t.someone(func(u *User) bool { return u.Deleted() && t.now().Sub(u.DeletedAt) > time.Minute })
	if u == nil {
		return ""
	}
	t.remove(u.ID)
	return fmt.Sprintf("leaver: %s deleted for good", u.DisplayName)
}

func (t *Tenant) newMember() string {
	u := t.someone(working)
	if u == nil {
		return ""
	}
	g := t.someGroup(func(g *Group) bool { return !slices.Contains(g.Members, u.ID) })
	if g == nil {
		return ""
	}
	t.addMember(g.ID, u.ID)
	return fmt.Sprintf("member: %s joins %s", u.DisplayName, g.DisplayName)
}

func (t *Tenant) lostMember() string {
	g := t.someGroup(func(g *Group) bool { return len(g.Members) > 1 })
	if g == nil {
		return ""
	}
	id := pick(t, g.Members)
	t.removeMember(g.ID, id)
	name := "a nested group"
	if u := t.users[id]; u != nil {
		name = u.DisplayName
	} else if n := t.groups[id]; n != nil {
		name = "nested group " + n.DisplayName
	}
	return fmt.Sprintf("member: %s leaves %s", name, g.DisplayName)
}

func (t *Tenant) groupRenamed() string {
	g := t.someGroup(func(g *Group) bool {
		return !slices.Contains(departments, g.DisplayName) && g.DisplayName != "All Staff"
	})
	if g == nil {
		return ""
	}
	name := fmt.Sprintf("%s %d", pick(t, groupTopics), 100+t.rng.IntN(900))
	_ = t.renameGroup(g.ID, name)
	return fmt.Sprintf("group: %s is now called %s", g.DisplayName, name)
}

func (t *Tenant) newGroup() string {
	g := *t.createGroup(fmt.Sprintf("Project %s %d", pick(t, groupTopics), 1000+t.rng.IntN(9000)))
	for range 3 {
		if u := t.someone(working); u != nil {
			t.addMember(g.ID, u.ID)
		}
	}
	return fmt.Sprintf("group: %s created with %d members", g.DisplayName, len(t.groups[g.ID].Members))
}

func list(names []string) string {
	if len(names) == 0 {
		return "no group"
	}
	return strings.Join(names, " and ")
}
