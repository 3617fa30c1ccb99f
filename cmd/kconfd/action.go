package main

import (
	"errors"
	"fmt"

	"github.com/kconfd/kconfd/reload"
)

// action is what [reload] says, or confd's reload_cmd.
func (raw *rawResource) action() (reload.Action, error) {
	reloadCmd, err := raw.reloadCmd()
	if err != nil {
		return reload.Action{}, err
	}
	switch {
	case raw.Reload == nil && reloadCmd == nil:
		return reload.Action{}, nil
	case raw.Reload != nil && reloadCmd != nil:
		return reload.Action{}, errors.New("want one of [reload] and reload_cmd")
	case reloadCmd != nil:
		a := reload.Action{Kind: reload.Exec, Command: *reloadCmd}
		return a, a.Validate()
	}
	return raw.Reload.parse()
}

// reloadCmd is the one of the templates' own; there is one action a group.
func (raw *rawResource) reloadCmd() (*reload.Command, error) {
	var found *reload.Command
	for _, t := range raw.Templates {
		c, err := parseCommand("reload_cmd", t.ReloadCmd, "", "")
		switch {
		case err != nil:
			return nil, err
		case c == nil:
		case found != nil && found.String() != c.String():
			return nil, errors.New("two reload_cmd that differ: a group has one action, say it in [reload]")
		default:
			found = c
		}
	}
	return found, nil
}

func (r *rawReload) parse() (reload.Action, error) {
	kind, err := reload.ParseKind(r.Action)
	if r.Action == "" {
		return reload.Action{}, &advisedError{errors.New("[reload]: action is missing"), fmt.Sprintf("write action = %q", r.likelyKind())}
	}
	if err != nil {
		return reload.Action{}, fmt.Errorf("[reload]: %w", adviseAction(r.Action, err))
	}
	a := reload.Action{
		Kind: kind, PIDFile: r.PIDFile, Process: r.Process, Group: r.Group,
		URL: r.URL, Method: r.Method, Header: r.Header, Body: r.Body, Status: r.Status,
		TLS: reload.TLS{CAFile: r.CAFile, ServerName: r.ServerName, Cert: r.Cert, Key: r.Key, Insecure: r.Insecure},
	}
	if r.Signal != "" {
		if a.Signal, err = reload.ParseSignal(r.Signal); err != nil {
			return a, fmt.Errorf("[reload]: %w", adviseSignal(r.Signal, err))
		}
	}
	if r.User != "" {
		var account reload.Account
		if err := lookupAccount(r.User, &account); err != nil {
			return a, fmt.Errorf("[reload]: user: %w", err)
		}
		a.UID = &account.UID
	}
	timeout, err := parseTimeout("timeout", r.Timeout)
	if err != nil {
		return a, fmt.Errorf("[reload]: %w", err)
	}
	command, err := parseCommand("command", r.Command, "", "")
	if err != nil {
		return a, fmt.Errorf("[reload]: %w", err)
	}
	if command != nil {
		a.Command = *command
	}
	if kind == reload.Exec {
		a.Command.Timeout = timeout
	} else {
		a.Timeout = timeout
	}
	if err := a.Validate(); err != nil {
		return a, fmt.Errorf("[reload]: %w", err)
	}
	return a, nil
}

// likelyKind is the action that the other keys are for.
func (r *rawReload) likelyKind() reload.Kind {
	switch {
	case r.Command != nil:
		return reload.Exec
	case r.URL != "":
		return reload.HTTP
	case r.Signal != "" || r.PIDFile != "" || r.Process != "":
		return reload.Signal
	}
	return reload.Restart
}
