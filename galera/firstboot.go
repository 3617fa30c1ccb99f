package galera

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kconfd/kconfd/internal/safefs"
)

// FirstBoot makes the data directory of the node that founds a cluster: the system
// tables, and the accounts that the environment asks for. Nodes that join need
// none of it, since a state transfer brings them everything.
type FirstBoot struct {
	// DataDir is the directory to make. It may be there and empty. It must not be
	// the mount point of a volume, but a directory in one: all is made beside it and
	// renamed.
	DataDir string

	DefaultsFile string // the option file
	Server       string // the program mariadbd or mysqld; empty means either
	Install      string // the program mariadb-install-db; empty means by that name

	// Environment finds a variable, as os.LookupEnv does, which nil means.
	Environment func(name string) (string, bool)

	server account // the option file's user
	beside account // who works in the directory that has the data directory
}

// Run makes the data directory, which takes about a second. Whenever it is broken
// off, be it by a power cut, the data directory is as it was before or complete;
// what is half made stays beside it, and the next Run begins by removing that.
//
// The accounts are those of these variables. Of each name there is another one
// that ends in _FILE and names a file with the value, which must not be set as
// well. An empty value is none.
//
//	MYSQL_ROOT_PASSWORD         for root, at localhost and MYSQL_ROOT_HOST
//	MYSQL_RANDOM_ROOT_PASSWORD  yes: a random one, in the file DataDir.root-password
//	MYSQL_ALLOW_EMPTY_PASSWORD  yes: root has no password when there is none
//	MYSQL_ROOT_HOST             from where root may come; default: %, everywhere
//	MYSQL_DATABASE              a database
//	MYSQL_USER, MYSQL_PASSWORD  an account that may do everything in that database
//	WSREP_SST_USER              an account at localhost for state transfers
//	WSREP_SST_PASSWORD          without it, the system's user of that name is let in
//
// With MariaDB there is one more at localhost, for the server's own user: see docs/design/galera.md.
//
// The server gets the passwords as hashes, over a file that has no name. They are
// on no command line, in no environment of another process, and in no error.
//
// Where this process is root, the programs run as the option file's user. So does
// what is done in directories which that user may write to.
func (b FirstBoot) Run(ctx context.Context) error {
	if err := b.run(ctx); err != nil {
		return fmt.Errorf("first boot of %q: %w", b.DataDir, err)
	}
	return nil
}

func (b FirstBoot) run(ctx context.Context) error {
	a, err := readAccounts(b.Environment)
	if err != nil {
		return err
	}
	if err := b.resolve(); err != nil {
		return err
	}
	mysql := b.Install == "" && isMySQL(b.Server)
	if !mysql {
		if a, err = a.withLocal(b.server); err != nil {
			return err
		}
	}
	mode, err := b.checkTarget()
	if err != nil {
		return err
	}
	next := b.next()
	if err := b.makeNext(next); err != nil {
		return err
	}
	if mysql {
		err = b.initialize(ctx, next, a)
	} else {
		err = b.install(ctx, next, a.statements(true))
	}
	if err != nil {
		return err
	}
	if a.random {
		if err := b.writePassword(a.rootPassword); err != nil {
			return err
		}
	}
	return b.commit(next, mode)
}

// resolve finds out who the server's user is, and what the data directory's path
// leads to.
func (b *FirstBoot) resolve() (err error) {
	if b.server, err = serverAccount(b.DefaultsFile); err != nil {
		return err
	}
	if b.beside, err = accountBeside(b.DataDir, b.server); err != nil {
		return err
	}
	volume := filepath.Dir(filepath.Clean(b.DataDir))
	if err := b.beside.do(func() error { return os.MkdirAll(volume, 0o755) }); err != nil {
		return err
	}
	dir, name, err := safefs.Locate(b.DataDir, safefs.Checked)
	if err != nil {
		return err
	}
	defer dir.Close()
	if resolved := dir.RealPath(name); resolved != b.DataDir {
		b.DataDir = resolved
		b.beside, err = accountBeside(b.DataDir, b.server)
	}
	return err
}

// accountBeside is as whom to make and rename what is beside a data directory: as
// the server's user where others than root may do so, too.
func accountBeside(dataDir string, server account) (account, error) {
	dir, err := safefs.OpenNearest(filepath.Dir(filepath.Clean(dataDir)), safefs.Checked)
	if err != nil {
		return account{}, err
	}
	defer dir.Close()
	if dir.Private() {
		return account{}, nil
	}
	return server, nil
}

// writePassword makes the file of the random password, which this process's user
// alone may read.
func (b FirstBoot) writePassword(password string) error {
	dir, name, err := safefs.LocateEntry(b.passwordFile(), safefs.Checked)
	if err != nil {
		return err
	}
	defer dir.Close()
	file, err := dir.Create(name)
	if err != nil {
		return err
	}
	_, err = file.WriteString(password + "\n")
	return errors.Join(err, file.Sync(), file.Close())
}

// removeOld removes what an earlier first boot left.
func (b FirstBoot) removeOld(next string) error {
	dir, name, err := safefs.LocateEntry(b.passwordFile(), safefs.Checked)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := dir.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return b.beside.do(func() error { return os.RemoveAll(next) })
}

// next is where the data directory is made.
func (b FirstBoot) next() string { return filepath.Clean(b.DataDir) + ".kconfd-init" }

func (b FirstBoot) passwordFile() string { return filepath.Clean(b.DataDir) + ".root-password" }

// checkTarget fails unless a directory can be renamed to the data directory, and
// gives the permissions it is to have.
func (b FirstBoot) checkTarget() (fs.FileMode, error) {
	volume, name, err := safefs.LocateEntry(b.DataDir, safefs.Checked)
	if err != nil {
		return 0, err
	}
	defer volume.Close()
	// A volume of another image has its data at the top, and is not empty for that.
	if _, err := volume.Lstat("ibdata1"); err == nil {
		return 0, fmt.Errorf("there is a database beside it, in %q: move that into the data directory, or away", filepath.Dir(b.DataDir))
	}
	dir, err := volume.OpenDir(name)
	if errors.Is(err, fs.ErrNotExist) {
		return 0o700, nil
	}
	if err != nil {
		return 0, err
	}
	defer dir.Close()
	mounted, err := isMountPoint(b.DataDir)
	if err != nil {
		return 0, err
	}
	if mounted {
		return 0, errors.New("it is a mount point, which nothing can be renamed to: the data directory has to be a directory inside of the volume")
	}
	stat, err := dir.Lstat(".")
	if err != nil {
		return 0, err
	}
	return stat.Mode.Perm(), removeGaleras(dir)
}

// removeGaleras empties a directory of what a server without data leaves. It fails
// when there is more.
func removeGaleras(dir *safefs.Dir) error {
	names, err := dir.Names()
	if err != nil {
		return err
	}
	for _, name := range names {
		if !leftByGalera(name) {
			return fmt.Errorf("the directory is not empty: it has %q", name)
		}
	}
	for _, name := range names {
		if err := dir.Remove(name); err != nil {
			return err
		}
	}
	return nil
}

// leftByGalera says whether the file is one that a server without data leaves,
// after it has looked for a cluster to join in vain.
func leftByGalera(name string) bool {
	switch name {
	case "grastate.dat", "gvwstate.dat", "galera.cache", "wsrep.json", generationName:
		return true
	}
	return strings.HasPrefix(name, "gcache.page.")
}

// isMountPoint says whether something is mounted at the path, which a directory
// of the same file system may be as well.
func isMountPoint(path string) (bool, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return false, err
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo") // the kernel's
	if err != nil {
		return false, err
	}
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line)
		if len(fields) > 4 && unescape.Replace(fields[4]) == path {
			return true, nil
		}
	}
	return false, nil
}

// makeNext makes the directory for the server's user.
func (b FirstBoot) makeNext(next string) error {
	if err := b.removeOld(next); err != nil {
		return fmt.Errorf("removing what an earlier one left: %w", err)
	}
	if err := b.beside.do(func() error { return os.Mkdir(next, 0o700) }); err != nil {
		return fmt.Errorf("%w (the data directory has to be a directory inside of the volume, and the volume writable)", err)
	}
	if b.beside == b.server {
		return nil
	}
	return b.server.take(next)
}

// install runs the installation with the statements behind its own.
func (b FirstBoot) install(ctx context.Context, next, statements string) error {
	program := b.Install
	if program == "" {
		program = "mariadb-install-db"
	}
	sql, err := namelessFile("first-boot.sql", statements)
	if err != nil {
		return err
	}
	defer sql.Close()
	if err := b.give(sql); err != nil {
		return err
	}
	cmd := b.child(program,
		"--defaults-file="+b.DefaultsFile, "--datadir="+next, "--user=", "--force",
		"--skip-test-db", "--auth-root-authentication-method=socket", "--auth-root-socket-user=root",
		"--wsrep-on=OFF", "--wsrep-status-file=", "--extra-file=/proc/self/fd/3")
	cmd.ExtraFiles = []*os.File{sql}
	if b.Server != "" {
		server, err := findServer(b.Server)
		if err != nil {
			return err
		}
		cmd.Env = append(cmd.Env, "MYSQLD_BOOTSTRAP="+server)
	}
	if err := runProgram(ctx, cmd); err != nil {
		return b.failed(ctx, cmd, err)
	}
	return nil
}

// give lets the server's user, and nobody else, open a file again.
func (b FirstBoot) give(file *os.File) error {
	if b.server.credential() == nil {
		return nil
	}
	return file.Chown(b.server.uid, b.server.gid)
}

// childEnvironment is the little that the programs need. The variables with
// passwords are not in it.
func childEnvironment() []string {
	var environment []string
	for _, name := range []string{"PATH", "TMPDIR", "TZ", "LD_PRELOAD", "LD_LIBRARY_PATH"} {
		if value, found := os.LookupEnv(name); found {
			environment = append(environment, name+"="+value)
		}
	}
	return environment
}

// namelessFile is a file in memory, which ends with the last process that has it
// open. The name is for those who look into /proc. It is nil with an error, and may be
// closed then.
func namelessFile(name, content string) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("making a file in memory: %w", err)
	}
	file := os.NewFile(uintptr(fd), name)
	_, err = file.WriteString(content)
	if err = errors.Join(err, file.Chmod(0o600)); err != nil { // a server ignores what everybody may write
		file.Close()
		return nil, fmt.Errorf("writing a file in memory: %w", err)
	}
	return file, nil
}

// complaints are the lines of the installation's output that say what is wrong,
// without its advice. The hashes of passwords are taken out.
func complaints(output string) []string {
	var found []string
	for _, line := range nonEmptyLines(output) {
		if strings.Contains(line, "ERROR") || (strings.Contains(line, "mariadbd") || strings.Contains(line, "mysqld")) && strings.Contains(line, ": ") || strings.HasPrefix(line, "Cannot ") {
			found = append(found, hashPattern.ReplaceAllString(line, "********"))
		}
	}
	return found
}

// commit gives the finished directory its name, when all of it is on the disk.
func (b FirstBoot) commit(next string, mode fs.FileMode) error {
	err := b.server.do(func() error {
		return errors.Join(os.Chmod(next, mode), syncFileSystem(next))
	})
	if err != nil {
		return err
	}
	return b.beside.do(func() error {
		if err := unix.Rename(next, b.DataDir); err != nil { // os.Rename takes no directory's place
			return fmt.Errorf("renaming %q: %w", next, err)
		}
		return syncDir(filepath.Dir(b.DataDir))
	})
}

// syncFileSystem waits until all that was written to the directory's file system
// is on the disk.
func syncFileSystem(dir string) error {
	file, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := unix.Syncfs(int(file.Fd())); err != nil {
		return fmt.Errorf("syncing the file system of %q: %w", dir, err)
	}
	return nil
}

func syncDir(dir string) error {
	file, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer file.Close()
	return file.Sync()
}
