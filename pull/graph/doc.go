// Package graph connects to Microsoft Graph as a pull.Source: it knows Microsoft's clouds, proves who the
// application is with azidentity, and makes requests with the request builders of msgraph-sdk-go. It is
// the one importer of these; reading the answers is left to package reader.
//
// Of the SDK it uses the packages groups and users alone, never the root package, and never the SDK's
// models, its page iterator, its retries or its error types: the models take a wrong answer for an empty
// list, and the retries leave connections behind.
package graph
