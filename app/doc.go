// Package app is the whole program: it reads the configuration, wires the rooms, serves HTTP and
// the operator's commands, and starts and stops in good order.
//
// It decides nothing about people, groups and access: every change ends in directory.Service. It
// must never know how a command line is written.
package app
