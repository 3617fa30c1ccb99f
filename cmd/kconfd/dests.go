package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/kconfd/kconfd/internal/lint"
	"github.com/kconfd/kconfd/internal/safefs"
	"github.com/kconfd/kconfd/render"
	"github.com/kconfd/kconfd/watcher"
)

// A destination is a file that a template writes.
type destination struct {
	group    string
	template int // from 1
	file     render.File
	identity string         // see [safefs.Identity]
	inode    inode          // of the file; zero for a new one, and where others may have named it
	within   map[inode]bool // the directories that it is in
}

// An inode tells files apart, whatever their names.
type inode struct{ device, number uint64 }

// inodeOf is zero for what does not exist. Links are followed.
func inodeOf(path string) inode {
	info, err := os.Stat(path)
	if err != nil {
		return inode{}
	}
	sys := info.Sys().(*syscall.Stat_t)
	return inode{sys.Dev, sys.Ino}
}

// refuseDests refuses destinations that cannot be: two templates for one file, a file that
// kconfd reads itself, a file in a directory that kconfd reads.
func (f *flags) refuseDests(groups []groupConfig) error {
	var dests []destination
	for _, g := range groups {
		for i, t := range g.templates {
			dests = append(dests, newDestination(g.name, i+1, t.file))
		}
	}
	if err := refuseSecond(dests); err != nil {
		return err
	}
	reads := newReading(groups)
	for _, d := range dests {
		for _, refuse := range []func(destination) error{reads.refuse, f.refuseManifest, f.refuseConfiguration} {
			if err := refuse(d); err != nil {
				return err
			}
		}
	}
	return nil
}

func newDestination(group string, template int, file render.File) destination {
	d := destination{group: group, template: template, file: file, identity: safefs.Identity(file.Dest, file.Trust), within: map[inode]bool{}}
	at, err := filepath.Abs(filepath.Dir(file.Dest))
	if err != nil {
		return d // there is no working directory
	}
	if dir, name, err := safefs.Locate(file.Dest, file.Trust); err == nil {
		at = dir.RealPath("") // the file may be a link
		// In a directory of other users, a second name of a file is theirs to give.
		if !dir.Shared {
			d.inode = inodeOf(dir.RealPath(name))
		}
		dir.Close()
	}
	for {
		if real, err := filepath.EvalSymlinks(at); err == nil {
			at = real
			d.within[inodeOf(at)] = true
		}
		if at == filepath.Dir(at) {
			return d
		}
		at = filepath.Dir(at)
	}
}

// refuseSecond refuses two templates for one file. Second names are two files, unless one is
// written in place.
func refuseSecond(dests []destination) error {
	seen := map[string]destination{}
	inodes := map[inode]destination{}
	for _, d := range dests {
		if other, ok := seen[d.identity]; ok {
			return d.refuseBeside(other)
		}
		seen[d.identity] = d
		if d.inode == (inode{}) {
			continue
		}
		if other, ok := inodes[d.inode]; ok && (d.file.InPlace || other.file.InPlace) {
			return d.refuseBeside(other)
		}
		inodes[d.inode] = d
	}
	return nil
}

func (d destination) refuseBeside(other destination) error {
	first, second := other.place(), d.place()
	if other.group == d.group {
		second = strings.TrimPrefix(second, d.group+": ")
	}
	err := fmt.Errorf("%s and %s both write %q", first, second, filepath.Clean(other.file.Dest))
	if filepath.Clean(d.file.Dest) != filepath.Clean(other.file.Dest) {
		err = fmt.Errorf("%w, which is also %q", err, d.file.Dest)
	}
	return err
}

// place is where a destination is written down.
func (d destination) place() string {
	switch {
	case strings.HasPrefix(d.group, "-template "):
		return d.group
	case d.line() > 0:
		return fmt.Sprintf("%s: template %d (line %d)", d.group, d.template, d.line())
	}
	return fmt.Sprintf("%s: template %d", d.group, d.template)
}

// line is the line of the template's dest in the resource file, 0 when it cannot be
// read any more.
func (d destination) line() int {
	content, err := safefs.ReadFile(d.group, maxResource)
	if err != nil {
		return 0
	}
	index := lint.IndexTOML(content)
	if filepath.Ext(d.group) != ".toml" {
		index = lint.IndexYAML(content)
	}
	if path := []string{"template", strconv.Itoa(d.template - 1), "dest"}; index.Has(path...) {
		return index.At(path...).Line
	}
	return index.At("template", "dest").Line
}

func (d destination) refused(format string, args ...any) error {
	why := fmt.Sprintf(format, args...)
	if strings.HasPrefix(d.group, "-template ") {
		return fmt.Errorf("%s: dest %q %s", d.group, d.file.Dest, why)
	}
	return fmt.Errorf("%s: template %d: dest %q %s", d.group, d.template, d.file.Dest, why)
}

// A reading is what kconfd reads for templates.
type reading struct {
	paths    map[string]string // by identity
	inodes   map[inode]string
	readers  map[string]string // of a path: the first group
	own      map[string]bool   // "GROUP\x00NUMBER\x00PATH"
	partials map[inode]string  // directories
}

func newReading(groups []groupConfig) *reading {
	r := &reading{map[string]string{}, map[inode]string{}, map[string]string{}, map[string]bool{}, map[inode]string{}}
	for _, g := range groups {
		r.note(g.name, g.reads...)
		if !strings.HasPrefix(g.name, "-template ") {
			r.note(g.name, g.name)
		}
		for i, t := range g.templates {
			r.partials[inodeOf(cmp.Or(t.dir, "."))] = cmp.Or(t.dir, ".")
			for _, path := range t.reads {
				r.own[readKey(g.name, i+1, path)] = true
			}
			r.note(g.name, t.reads...)
		}
	}
	delete(r.inodes, inode{})
	delete(r.partials, inode{})
	return r
}

// note notes paths that a group reads.
func (r *reading) note(group string, paths ...string) {
	for _, path := range paths {
		if _, known := r.readers[path]; known {
			continue
		}
		r.readers[path] = group
		r.paths[safefs.Identity(path, safefs.Trusted)] = path
		r.inodes[inodeOf(path)] = path
	}
}

func readKey(group string, template int, path string) string {
	return fmt.Sprintf("%s\x00%d\x00%s", group, template, path)
}

// refuse refuses a file that is read for a template, or would be.
func (r *reading) refuse(d destination) error {
	path, found := r.paths[d.identity]
	if !found {
		path, found = r.inodes[d.inode]
	}
	switch {
	case found && r.own[readKey(d.group, d.template, path)]:
		return d.refused("is its own source %q", path)
	case found:
		return d.refused("is %q, which %s reads", path, r.readers[path])
	case !isPartial(filepath.Base(d.file.Dest)):
		return nil
	}
	if dir, ok := r.partials[inodeOf(filepath.Dir(d.file.Dest))]; ok {
		return d.refused("would be read as a partial: it is in %q, beside templates", dir)
	}
	return nil
}

// refuseManifest refuses a file that is read as a manifest, or would be.
func (f *flags) refuseManifest(d destination) error {
	for _, path := range f.manifests {
		info, err := os.Stat(path)
		switch {
		case path == "-" || path == os.DevNull:
		case err != nil || !info.IsDir():
			if d.identity == safefs.Identity(path, safefs.Trusted) || err == nil && d.inode == inodeOf(path) {
				return d.refused("is %q of -manifests", path)
			}
		case watcher.IsManifest(d.file.Dest) && d.within[inodeOf(path)]:
			return d.refused("would be read as a manifest: it is in %q of -manifests", path)
		}
	}
	return nil
}

// refuseConfiguration refuses a file in a directory of the configuration.
func (f *flags) refuseConfiguration(d destination) error {
	for _, name := range []string{"conf.d", "templates"} {
		dir := filepath.Join(f.confDir, name)
		if at := inodeOf(dir); at != (inode{}) && d.within[at] {
			return d.refused("is in %q, where kconfd reads its configuration", dir)
		}
	}
	return nil
}

// isPartial says whether a file of that name is read with the templates beside it.
func isPartial(name string) bool {
	return strings.HasPrefix(name, "_") && strings.HasSuffix(name, ".tmpl")
}
