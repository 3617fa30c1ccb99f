package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

func (s *stage) introduce(context.Context) error {
	s.say("Three nodes of a Galera cluster, each behind a Service of its own. In place of the")
	s.say("cluster there is a directory of manifests; all else is as in the pod of pxc-node2.")
	s.heading("conf.d/galera.toml: which file, how to check it, whom to tell")
	s.show(resource)
	return nil
}

func (s *stage) once(ctx context.Context) error {
	s.heading("Once: kconfd -onetime -confdir . -manifests manifests")
	err := s.start(ctx, "-onetime", "-confdir", ".", "-manifests", "manifests")
	if err != nil {
		return err
	}
	for _, mark := range []string{"msg=written", "msg=told"} {
		if _, err := s.kconfd.await(ctx, mark); err != nil {
			return err
		}
	}
	if err := s.kconfd.wait(); err != nil {
		return err
	}
	if s.original, err = os.ReadFile(s.path("my.cnf")); err != nil {
		return err
	}
	if list := "gcomm://10.244.1.21,10.244.2.22,10.244.3.23\n"; !strings.Contains(string(s.original), list) {
		return fmt.Errorf("my.cnf does not have %q", list)
	}
	s.say("my.cnf, about which mariadbd was asked before the file got its name:")
	s.show(string(s.original))
	return s.notes(1)
}

func (s *stage) daemon(ctx context.Context) error {
	s.heading("Then for good: kconfd -confdir . -manifests manifests -diff -listen 127.0.0.1:0")
	if err := s.start(ctx, "-confdir", ".", "-manifests", "manifests", "-diff", "-listen", "127.0.0.1:0"); err != nil {
		return err
	}
	line, err := s.kconfd.await(ctx, "msg=listening")
	if err != nil {
		return err
	}
	_, s.kconfd.addr, _ = strings.Cut(line, "addr=")
	if err := s.kconfd.contentMoreThan(ctx, 0); err != nil {
		return err
	}
	s.say("The file is as it should be, so nothing is written and nobody is told.")
	return errors.Join(s.unchanged(), s.notes(1))
}

func (s *stage) memberComes(ctx context.Context) error {
	s.heading("A fourth node: its Service and EndpointSlice appear")
	if err := s.applied(ctx, func() error { return s.write("manifests/node-4.yaml", fourthNode) }); err != nil {
		return err
	}
	s.say("It is not ready yet, and listed all the same: a node that is left out is not found.")
	return s.notes(2)
}

func (s *stage) memberGoes(ctx context.Context) error {
	s.heading("The fourth node goes again")
	if err := s.applied(ctx, func() error { return os.Remove(s.path("manifests/node-4.yaml")) }); err != nil {
		return err
	}
	s.say("What the action left in notes, one line for each time that my.cnf was written:")
	notes, err := os.ReadFile(s.path("notes"))
	s.show(string(notes))
	return errors.Join(err, s.unchanged(), s.notes(3))
}

// applied demands that after the change my.cnf is written and the process told.
func (s *stage) applied(ctx context.Context, change func() error) error {
	begin := time.Now()
	if err := change(); err != nil {
		return err
	}
	if _, err := s.kconfd.await(ctx, "msg=written"); err != nil {
		return err
	}
	written := time.Since(begin)
	if _, err := s.kconfd.await(ctx, "msg=told"); err != nil {
		return err
	}
	s.say("%d ms from the change to the file: 50 of quiet (-wait), then mariadbd's check.", written.Milliseconds())
	return nil
}

func (s *stage) allGone(ctx context.Context) error {
	s.heading("All nodes are gone: somebody deleted every Service")
	manifests, aside := s.path("manifests/nodes-3.yaml"), s.path("nodes-3.yaml")
	if err := os.Rename(manifests, aside); err != nil {
		return err
	}
	if _, err := s.kconfd.await(ctx, "render held"); err != nil {
		return err
	}
	s.say("An empty list would found a second cluster. my.cnf stays. And when they are back:")
	if err := os.Rename(aside, manifests); err != nil {
		return err
	}
	if _, err := s.kconfd.await(ctx, "in order again"); err != nil {
		return err
	}
	return errors.Join(s.unchanged(), s.notes(3))
}

func (s *stage) typo(ctx context.Context) error {
	s.heading("A typo: max_conections = 500 is added to conf.d/galera.toml")
	_, rest, _ := strings.Cut(resource, "\n\n")
	if err := s.write("conf.d/galera.toml", typo+"\n"+rest); err != nil {
		return err
	}
	if _, err := s.kconfd.await(ctx, "unknown variable 'max_conections'"); err != nil {
		return err
	}
	if err := errors.Join(s.unchanged(), s.notes(3)); err != nil {
		return err
	}
	if err := s.write("conf.d/galera.toml", resource); err != nil {
		return err
	}
	s.say("The check refuses it, and my.cnf stays. The typo is taken out again.")
	if _, err := s.kconfd.await(ctx, "in order again"); err != nil {
		return err
	}
	return s.unchanged()
}

func (s *stage) end(context.Context) error {
	s.heading("The end: SIGTERM")
	begin := time.Now()
	if err := s.kconfd.terminate(); err != nil {
		return err
	}
	s.say("kconfd ended with 0 after %d ms. my.cnf is the one for three nodes.", time.Since(begin).Milliseconds())
	return s.unchanged()
}
