// Package entrasim is a simulated Microsoft Entra ID tenant: a directory of people and groups ([Tenant]), the
// provisioning job of an enterprise application ([Provisioner]) that pushes that directory to any SCIM 2.0 server the
// way the real one does, quirks included, and Microsoft Graph with the identity platform ([Graph]): the same directory can
// be read there, with permissions, throttling, an index that runs behind, and a script of faults ([Faults]), and its
// people sign in to applications by OpenID Connect ([App.SignIn]), in a real browser or without one ([Browser]).
//
// Everything is deterministic from a seed, so that a failing run can be repeated; keys and certificates alone are not.
// What goes over the wire follows Microsoft's documentation ("Use SCIM to provision users and groups", "Known issues
// with SCIM compliance", "How application provisioning works", the reference of Microsoft Graph v1.0) and requests
// quoted in public issue trackers.
//
// The package must never know the product that it is aimed at: it imports nothing but the standard library and learns
// about the server only what HTTP tells it. A simulation that shared code with the server would share its mistakes.
package entrasim
