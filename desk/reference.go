package desk

// The description of the JSON API, for people.

// ReferenceTag is a part of the API.
type ReferenceTag struct {
	Name, Description string
	Operations        []ReferenceOperation
}

// ReferenceOperation is one thing that the API does.
type ReferenceOperation struct {
	ID, Method, Path     string
	Summary, Description string
	Scope                string
	Parameters           []ReferenceField
	Body                 []ReferenceField
	Status               string
	Answer               []ReferenceField
	Curl                 string
}

// ReferenceField is a parameter, or a field of a body.
type ReferenceField struct {
	Name, In, Type string
	Required       bool
	Description    string
}
