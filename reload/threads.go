package reload

import (
	"runtime"
	"sync"
)

// spareThreads makes threads, which the runtime keeps for when it needs them. It
// needs one more whenever others are held up in the kernel, and a process that
// may have no more, because the child has used up what all of a container may
// have, is ended by its runtime.
func spareThreads(n int) {
	var all, ready sync.WaitGroup
	release := make(chan struct{})
	for range n {
		ready.Add(1)
		all.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			ready.Done()
			<-release
		})
	}
	ready.Wait()
	close(release)
	all.Wait()
}

const (
	// initThreads are enough for an init, which reads, waits and collects garbage.
	initThreads = 4
	// workerThreads are enough for a worker that renders, writes and is asked.
	workerThreads = 40
)
