package main

import (
	"os"
	"runtime"
	"syscall"
	"testing"
)

// The layers of an overlay change without events for its readers, as a volume does that another
// host writes to: resource files, partials, manifests, files of settings and live files are
// looked at all the same.
func TestChangesWithoutEvents(t *testing.T) {
	t.Parallel()
	runtime.LockOSThread() // and never unlocked: what is mounted ends with the thread
	d := newDir(t, map[string]string{
		"lower/objects.yaml":              configMap("one"),
		"lower/name":                      "first",
		"lower/conf/conf.d/a.toml":        "[[template]]\nsrc = 'a.tmpl'\ndest = '$DIR/live/a'\n",
		"lower/conf/conf.d/drift.toml":    "[[template]]\ncontents = 'good'\ndest = '$DIR/m/drift'\n",
		"lower/conf/conf.d/named.toml":    "[[template]]\ncontents = 'x'\ndest = '$DIR/live/{{ file \"$DIR/m/name\" }}'\n",
		"lower/conf/templates/a.tmpl":     `{{ include "_part.tmpl" . }}{{ (configMap "settings").x }}`,
		"lower/conf/templates/_part.tmpl": "old ",
		"upper/.keep":                     "",
		"work/.keep":                      "",
		"m/.keep":                         "",
		"live/.keep":                      "",
	})
	for _, err := range []error{
		os.Remove(d.file("work/.keep")),
		syscall.Unshare(syscall.CLONE_NEWNS),
		syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""),
		syscall.Mount("overlay", d.file("m"), "overlay", 0, "lowerdir="+d.file("lower")+",upperdir="+d.file("upper")+",workdir="+d.file("work")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = syscall.Unmount(d.file("m"), syscall.MNT_DETACH) })
	start(t, "-confdir", d.file("m/conf"), "-manifests", d.file("m/objects.yaml"), "-wait", "0s")
	d.awaitFile("live/a", "old one")
	d.awaitFile("upper/drift", "good")
	d.awaitFile("live/first", "x")
	for name, content := range map[string]string{
		"lower/objects.yaml":              configMap("two"),
		"lower/name":                      "second",
		"lower/conf/templates/_part.tmpl": "new ",
		"lower/conf/conf.d/more.toml":     "[[template]]\ncontents = 'more'\ndest = '" + d.file("live/more") + "'\n",
		"upper/drift":                     "touched",
	} {
		// Into the file: that another one has its name is not seen through an overlay.
		if err := os.WriteFile(d.file(name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	d.awaitFile("live/a", "new two")
	d.awaitFile("live/more", "more")
	d.awaitFile("live/second", "x")
	d.awaitFile("upper/drift", "good")
}
