package galera

// mutations are the guards of the code, each with what the code would be without it.
func mutations() (all []mutation) {
	add := func(file string, guards ...[3]string) {
		for _, g := range guards {
			all = append(all, mutation{name: g[0], file: file, old: g[1], new: g[2], with: covered[g[0]], test: tested[g[0]], themes: gameThemes[g[0]]})
		}
	}
	add("decide.go", decideGuards...)
	add("objections.go", objectionGuards...)
	add("decide.go", electionGuards...)
	add("found.go", foundGuards...)
	add("start.go", startGuards...)
	add("carryout.go", carryOutGuards...)
	add("confirm.go", [3]string{"rows wait for a record that has their last start", "s.local.data != Full && s.local.data != Fresh && own", "own"})
	add("confirm.go", [3]string{"a start reads the record once more", "own.Token == d.token && own.State.mayRun() {", "own.Token != \"\" || own.Token == \"\" {"})
	add("confirm.go", [3]string{"no start alone after a record that was put back", "if err := s.mark(); err != nil {", "if err := error(nil); err != nil {"})
	add("entry.go", entryGuards...)
	add("joined.go", monitorGuards...)
	add("transfer.go", transferGuards...)
	add("history.go", historyGuards...)
	add("memory.go", [3]string{"rows remember an earlier name", "m.Node != node && l.data != Full", "m.Node != node"})
	add("bootstrap.go", [][3]string{
		{"what cannot be the first is refused", `if fatal := r.unfit(from); fatal != "" {`, `if fatal := r.unfit(from); false && fatal != "" {`},
		{"objections need force", "if len(told) > 0 && !force {", "if false {"},
		{"what is overruled is noted", "d.Over[o.node] = r.Nodes[o.node].standing()", "_ = o"},
	}...)
	add("stopped.go", [][3]string{
		{"another pod's stop is not noted", "if known && own.Pod != c.Pod {", "if false && known {"},
	}...)
	add("heal.go", healGuards...)
	add("nonprimary.go", nonPrimaryGuards...)
	add("lastprimary.go", otherHealGuards...)
	add("serversession.go", sessionGuards...)
	add("hang.go", hangGuards...)
	return all
}

// healingFiles are about a majority that is lost: see [TestModelMajority].
var healingFiles = []string{"heal.go", "nonprimary.go", "lastprimary.go"}

// covered are the guards that others cover, with these.
var covered = map[string][]string{
	"no election by a record that was put back": {"no election in a cluster older than its record"},
	"no new cluster in place of a known one":    {"no new cluster when data were lost"},
	"one that receives is no donor":             {"one to which no donor sends anything is killed"},
}

// gameThemes are the themes without which no game finds that the guard is missing.
var gameThemes = map[string]string{
	"overruled nodes come back as unknown":             "force",
	"the history of overruled nodes is kept":           "force",
	"overruled losses are settled":                     "force, lost volumes",
	"the fork is where the data diverged":              "force",
	"the lowest fork counts":                           "force",
	"objection: older than its record":                 "adopted, decisions",
	"objection: another has lost data":                 "decisions, lost volumes",
	"diverged data do not count":                       "force",
	"no election beside a server against the record":   "restored records",
	"a server against the record is seen":              "restored records",
	"rows wait for a record that has their last start": "restored records",
	"alone not with a view of one node":                "outages",
	"another pod is waited for":                        "second pods",
}

// tested are the guards that games find too rarely, or cannot, each with the test that fails without it.
var tested = map[string]string{
	"alone only with data that the record has started":                "TestUnknownDataWaitForRecord",
	"alone not beside another pod":                                    "TestWaitForOtherPod",
	"fewer rows are lost ones":                                        "TestLosses",
	"an older volume has lost what a stopped server had":              "TestLossesOfVolume",
	"the first record that a monitor reads may be an older one":       "TestFirstReadOfOlderRecord",
	"a record has no lower generation than the data":                  "TestFirstReadOfOlderRecord",
	"a decision about a cluster that is there ends":                   "TestJoinedEndsDecision",
	"a donor that is connected may be gone":                           "TestSilentDonor",
	"a decision ends when there is a cluster":                         "TestSyncedEndsDecision",
	"a Synced server is of its own history":                           "TestSyncedInItsHistory",
	"one becomes of the history of the others":                        "TestSyncedInItsHistory",
	"the generation is written beside the data":                       "TestSyncedInItsHistory",
	"the first node's data are the cluster's":                         "TestFirstNodeIsOfItsGeneration",
	"the addresses of the record are looked at":                       "TestForcedLooksAtRecord",
	"what is overruled is noted":                                      "TestDecreeDiverged",
	"a claim is this monitor's":                                       "TestHealClaimGivenUp",
	"a note that is carried out later is this monitor's":              "TestHealClaimGivenUp",
	"a server that an earlier monitor isolated is released":           "TestHealIsolationOutlivesMonitor",
	"a note of an earlier monitor may have isolated":                  "TestHealIsolationOutlivesMonitor",
	"the isolation ends with a component":                             "TestHealIsolationOutlivesMonitor",
	"a founder that may have served keeps its role":                   "TestGivesBack",
	"a note is of a position":                                         "TestHealSteps",
	"a note says whether the server is isolated":                      "TestHealSteps",
	"a note is of a view":                                             "TestHealSteps",
	"a round is of all nodes":                                         "TestRound",
	"a note is a sign of life":                                        "TestRound",
	"a decision of an operator stops it":                              "TestLeader",
	"no majority of a cluster that is older than its record":          "TestLeader",
	"no majority while a record was put back":                         "TestLeader",
	"no majority of a cluster without a UUID":                         "TestLeader",
	"no majority with one that has diverged":                          "TestLeader",
	"no majority with data of another cluster":                        "TestLeader",
	"no majority without what was lost":                               "TestLeader",
	"a claim counts no start":                                         "TestClaim",
	"a view that is being written is not noted":                       "TestLastPrimaryIsWhole",
	"one that brings back a view starts":                              "TestJoinsBesideLost",
	"all that listen have lost it":                                    "TestJoinsBesideLost",
	"one that is to begin is not followed":                            "TestFollowsServerThatRuns",
	"no note of a server with a component":                            "TestNotNoted",
	"agreement is written once":                                       "TestHealSteps",
	"data behind an election are refused":                             "TestOldRecord",
	"a decision is void when an overruled node has moved":             "TestDecide",
	"a decision is void when its own node has lost something":         "TestForcedForWhatItHas",
	"a sign of life is any write":                                     "TestDecide",
	"objection: the node has diverged":                                "TestDecreeDiverged",
	"objection: another has the cluster's rows":                       "TestDecreeDiverged",
	"elections are forks as well":                                     "TestDecreeDiverged",
	"data wait for the UUID of the cluster":                           "TestDecide",
	"the marker is removed":                                           "TestOnServer/a_decision_whose_answer_is_lost",
	"a start reads the record once more":                              "TestOnServer/put_back_before_a_start",
	"no note beside a newer cluster":                                  "TestOnServer/a_server_that_the_record_forgot",
	"a record that says less is put right":                            "TestOnServer/a_record_that_a_monitor_remembers",
	"an ended server is not noted":                                    "TestOnServer/a_server_that_the_record_forgot",
	"no kill of a server that is back":                                "TestOnServer/a_server_that_comes_back_in_time",
	"another pod's stop is not noted":                                 "TestOnServer/a_position_that_was_left",
	"one that does not lead is not isolated":                          "TestHealSteps",
	"agreement needs time":                                            "TestHealSteps",
	"agreement needs the leader's isolation":                          "TestHealSteps",
	"all agree":                                                       "TestHealSteps",
	"agreement is to this round":                                      "TestHealSteps",
	"the leader itself waits as long":                                 "TestHealSteps",
	"a claim has the noted position":                                  "TestClaim",
	"a claim says what the server is called":                          "TestClaim",
	"a claim has the view of the server that runs on":                 "TestClaim",
	"no majority while a view may come back":                          "TestLeader",
	"a member that is not known may run":                              "TestLeader",
	"a view comes back only without later ones":                       "TestLeader",
	"a member at rest is known by its entry":                          "TestLeader",
	"a note is of this process":                                       "TestHealSteps",
	"a note that is not true any more is written anew":                "TestHealSteps",
	"one with nothing to join waits at rest":                          "TestDecide",
	"a view does not outlive an election":                             "TestDecide",
	"a view of an older cluster is not kept":                          "TestDecide",
	"data that were not removed are of their own history":             "TestHistoryOfEntry",
	"an election is kept":                                             "TestOldRecord",
	"no election without rows that another one passed over":           "TestDecide",
	"data that are older than the record adopt it":                    "TestAdopted",
	"one that joins the leader follows it":                            "TestClaim",
	"a view of a volume that was put back is not kept":                "TestViewOfVolumesThatWerePutBack",
	"an isolation ends when the API server is away":                   "TestHealEndsIsolation",
	"an isolation without an answer ends when the API server is away": "TestHealEndsIsolation",
	"a server without an answer may be isolated":                      "TestHealEndsIsolation",
	"the isolation ends after the component is made":                  "TestHealWaitsForComponent",
	"no isolation beside an unknown server":                           "TestHealBesideStranger",
	"a server that runs by the record is no stranger":                 "TestHealBesideStranger",
	"a server that is at rest by the record is a stranger":            "TestHealBesideStranger",
	"no majority where members are evicted":                           "TestNotNoted",
	"no note without a view":                                          "TestNotNoted",
	"no note of a view that is too large":                             "TestNotNoted",
	"no note of a server that does not answer":                        "TestNotNoted",
	"no note before an isolation is undone":                           "TestNotNoted",
	"a claim without an answer is found":                              "TestHealClaimWithoutAnswer",
	"an isolation is undone without the API server":                   "TestHealIsolationOutlivesMonitor",
	"evictions are on":                                                "TestEvicts",
	"a setting that is not understood is a long one":                  "TestSuspectTimeout",
	"one session leads":                                               "TestSessionLeads",
	"a session that leads does so again":                              "TestSessionLeads",
	"only the session that leads bootstraps":                          "TestSessionLeads",
	"a server with a component is not bootstrapped":                   "TestSessionLeads",
	"a server with other rows is not bootstrapped":                    "TestSessionLeads",
	"a bootstrap that was not done is an error":                       "TestSessionLeads",
	"a session without replication asks for the status":               "TestSessionLeads",
	"an unknown status is an error":                                   "TestSessionLeads",
	"a server without a position has none":                            "TestSessionWithoutPosition",
	"a stopped server":                                                "TestExamineProcess",
	"a stopped server that has just run":                              "TestExamineProcess",
	"a server of which no thread runs":                                "TestExamineProcess",
	"a hang needs its time":                                           "TestExamineProcess",
	"a blocked thread":                                                "TestJudge",
	"a blocked thread is so for some time":                            "TestJudge",
	"threads without counts say nothing":                              "TestJudge",
	"a hang is seen before a login":                                   "TestHangBeforeLogin",
	"another user's sighting is not believed":                         "TestSightingOfAnotherUser",
	"a new server is another one":                                     "TestSightingOfAnEarlierServer",
	"no login without a place to keep it":                             "TestExamineLogin",
	"no login after a refusal":                                        "TestExamineLogin",
	"a login that may never have been answered does not count":        "TestExamineLogin",
	"a login without an answer is a hang":                             "TestExamineLogin",
	"but for a forced decision":                                       "TestDecreeDiverged",
	"data that never were in the cluster are not the first":           "TestUnfitAndObjections",
	"data of another cluster are not the first":                       "TestUnfitAndObjections",
	"objection: the node may be running":                              "TestUnfitAndObjections",
	"objection: another has other data":                               "TestUnfitAndObjections",
	"what was lost is of the same cluster":                            "TestUnfitAndObjections",
	"what cannot be the first is refused":                             "TestUnfitAndObjections",
	"objections need force":                                           "TestUnfitAndObjections",
	"what is given up is not lost":                                    "TestJoinGivesUp",
	"an own address is not another's":                                 "TestJoinGivesUp",
	"a join needs one that may run":                                   "TestDecide",
	"a join does not replace data of no cluster":                      "TestDecide",
	"no election beside an unknown server":                            "TestDecide",
	"no election between two clusters":                                "TestDecide",
	"the last one goes first":                                         "TestDecide",
	"data of another cluster are lost ones":                           "TestLosses",
	"no majority by a record that was put back":                       "TestHealByOlderRecord",
	"a claim is the last write":                                       "TestHealClaimNotWritten",
	"only one that is isolated carries out a claim":                   "TestHealClaimAfterRelease",
	"the generation is beside the data before a component is made":    "TestHealWritesGenerationFirst",
	"a failed bootstrap ends the isolation":                           "TestHealAfterFailedBootstrap",
	"an isolation that did not end is ended later":                    "TestHealSessionFails",
	"a session that fails is given up":                                "TestHealSessionFails",
	"a claim of an earlier monitor may have isolated":                 "TestHealIsolationOutlivesMonitor",
	"the view is read after the server was asked":                     "TestNoteHasLaterView",
	"one that was started anew is not isolated":                       "TestUndoAsksOnce",
	"an isolation is noted":                                           "TestHealWrites",
	"rows remember an earlier name":                                   "TestOlder",
	"the offer is this start's":                                       "TestOfferOfThisStart",
	"the offer has the right data":                                    "TestEditedOffer",
	"a record beside data is an adopted one":                          "TestWhoFounds",
	"a record beside a server is an adopted one":                      "TestWhoFounds",
	"one that was overtaken gives up":                                 "TestOvertakenGivesUp",
	"an address of another node is not another pod":                   "TestAddressOfAnotherNode",
	"a node that is Synced has lost nothing":                          "TestSyncedHasLostNothing",
	"a server of another cluster is not noted":                        "TestNotesItsClusterOnly",
	"no kill without the API server":                                  "TestKillsByRecordOnly",
	"no start alone after a record that was put back":                 "TestPutBackRecordIsAwaited",
	"no join by a record that was put back":                           "TestDecide",
	"data of a start that was not carried out are lost":               "TestLossesOfVolume",
	"losses add up":                                                   "TestLossesAddUp",
	"an empty volume whose offer was corrected has lost nothing":      "TestOfferThatWasCorrected",
}

var decideGuards = [][3]string{
	{"data of another cluster are refused", "case own.UUID != s.record.UUID:", "case false:"},
	{"data behind an election are refused", "case s.record.isPassedOver(own) && !s.forced():", "case false:"},
	{"but for a forced decision", "&& !s.forced():", ":"},
	{"a decision is void while a server listens", "if d.From == s.self && len(s.anyone) > 0 {", "if false {"},
	{"a decision is void when things have changed", `if fault := s.record.faultOf(d); fault != "" {`, `if fault := s.record.faultOf(d); false && fault != "" {`},
	{"a decision is for one node", "if d.From != s.self {", "if false {"},
	{"a decision ends", "r.Bootstrap, r.Adopted = nil, false", "r.Adopted = false"},
	{"overruled nodes come back as unknown", "delete(r.Nodes, name)\n", "_ = name\n"},
	{"the history of overruled nodes is kept", "r.Overruled[name] = n.Generation", "_ = n"},
	{"overruled losses are settled", "n.Lost = nil\n\t\tr.Nodes[name] = n", "r.Nodes[name] = n"},
	{"a decision makes a fork", "r.Forks = append(r.Forks, Fork{r.Generation, branch})", "_ = branch"},
	{"the fork is where the data diverged", "Fork{r.Generation, branch})", "Fork{r.Generation, max(branch, own.Seqno)})"},
	{"the lowest fork counts", "seqno, diverged = min(seqno, f.Seqno), true", "seqno, diverged = seqno, true"},
	{"a decision is void when an overruled node has moved", "d.Force && d.Over[o.node] == r.Nodes[o.node].standing()", "d.Force"},
	{"a decision is void when its node has no data by now", `r.Nodes[d.From].State == Offered && fatal != ""`, `false && fatal != ""`},
	{"a decision is void when its own node has lost something", "noted && !r.Nodes[d.From].isAsAt(then) {", "false && noted && then != \"\" {"},
	{"a new first node begins a generation", "r.Generation++\n", "\n"},
	{"the first node is of the new generation", "own.Generation, own.Lost, own.Member = r.Generation, nil, \"\"", "own.Lost, own.Member = nil, \"\""},
	{"a start has the generation of now", "own.State, own.Generation, own.NonPrimary, own.Waits = state, r.Generation, nil, \"\"", "own.State, own.NonPrimary, own.Waits = state, nil, \"\""},
	{"diverged data do not count", "return n.Data == Full && !r.diverged(n)", "return n.Data == Full"},
	{"elections are forks as well", "range slices.Concat(r.Forks, r.Elections)", "range r.Forks"},
	{"forks apply to older generations", "return n.Generation < f.Generation && n.Seqno > f.Seqno", "return n.Seqno > f.Seqno"},
	{"forks apply behind them", "return n.Generation < f.Generation && n.Seqno > f.Seqno", "return n.Generation < f.Generation"},
}

var objectionGuards = [][3]string{
	{"a sign of life is any write", `return "write " + n.Token`, `return "write"`},
	{"a node without data is not the first", "case n.Data == NoData || n.Data == Partial:", "case false:"},
	{"data that never were in the cluster are not the first", `case n.Data == Fresh && r.UUID != "":`, "case false:"},
	{"data of another cluster are not the first", `case n.Data == Full && r.UUID != "" && n.UUID != r.UUID:`, "case false:"},
	{"objection: another may be running", "case n.State.mayRun():\n\t\t\tadd(", "case false:\n\t\t\tadd("},
	{"objection: the node may be running", "case own.State.mayRun():\n\t\tall", "case false:\n\t\tall"},
	{"objection: the node has lost data", "if own.Lost != nil {", "if false {"},
	{"objection: older than its record", "if r.Adopted {", "if false {"},
	{"objection: the node has diverged", "if diverged {\n\t\tadd(", "if false {\n\t\tadd("},
	{"objection: another has lost data", "case n.Lost != nil && (diverged || own.Data != Full || !n.Lost.within(own.Position)):", "case false:"},
	{"objection: another has other data", "case counts && (own.Data != Full || n.UUID != own.UUID):", "case false:"},
	{"objection: another has the cluster's rows", "case counts && diverged:", "case false:"},
	{"objection: another has more", "case counts && n.Seqno > own.Seqno:", "case false:"},
	{"nobody knows how much was lost", "return !l.Unknown && l.UUID == p.UUID", "return l.UUID == p.UUID"},
	{"what was lost is of the same cluster", "l.UUID == p.UUID && l.Seqno <= p.Seqno", "l.Seqno <= p.Seqno"},
}

var electionGuards = [][3]string{
	{"a join needs one that listens", "if len(s.listening) == 0 || !s.record.Adopted && len(s.running()) == 0 {", "if !s.record.Adopted && len(s.running()) == 0 {"},
	{"a join needs one that may run", "if len(s.listening) == 0 || !s.record.Adopted && len(s.running()) == 0 {", "if len(s.listening) == 0 {"},
	{"a join does not replace data of no cluster", "if own.Data == Fresh {", "if false {"},
	{"data wait for the UUID of the cluster", `if own.Data == Full && s.record.UUID == "" {`, "if false {"},
	{"no join by a record that was put back", "if s.record.PutBack { // its generation", "if false { // its generation"},
	{"diverged data are given up", "if d.discard = s.record.diverged(own); d.discard {", "if d.discard = false; d.discard {"},
	{"what is given up is not lost", "own.Data, own.Position = Partial, Position{} // what it gives up is not lost later", ""},
	{"a view of one node is not kept", "d.keepView = s.view > 1 && own.Data == Full", "d.keepView = own.Data == Full"},
	{"a view of a volume that was put back is not kept", "own.Lost == nil && own.Generation", "own.Generation"},
	{"a view does not outlive an election", "own.Generation == s.record.Generation && !s.record.Adopted", "!s.record.Adopted"},
	{"a view of an older cluster is not kept", "!s.record.Adopted && !d.discard", "!d.discard"},
	{"no election while one may run", "if running := s.running(); len(running) > 0 {", "if running := s.running(); false && len(running) > 0 {"},
	{"no election beside a server against the record", "case len(s.contrary) > 0:", "case false:"},
	{"no election by a record that was put back", "case r.PutBack:\n\t\treturn waits", "case false:\n\t\treturn waits"},
	{"no election in a cluster older than its record", "case r.Adopted:", "case false:"},
	{"no election beside an unknown server", "case len(s.listening) > 0:\n\t\treturn waits", "case false:\n\t\treturn waits"},
	{"no election without rows that another one passed over", "case r.isPassedOver(n):\n\t\t\treturn", "case false:\n\t\t\treturn"},
	{"no election between two clusters", "case r.counts(n) && n.UUID != best.UUID:", "case false:"},
	{"no election when data were lost", "case n.Lost != nil && !n.Lost.within(best):", "case false:"},
	{"the one with most is elected", "case !r.counts(own) || own.Position != best:", "case false && own.Position != best:"},
	{"the last one goes first", "case first != s.self && s.waited < courtesy:", "case false:"},
	{"an election is kept", "r.Elections = append(r.Elections, Fork{r.Generation, best.Seqno})", ""},
	{"joiners are no cluster", "return n.State.mayRun() && n.State != Joining })", "return n.State.mayRun() })"},
	{"a server against the record is seen", "return !known || runs", "return !known || runs || true"},
	{"an own address is not another's", "is = is || name != self && so(n)", "is = is || name != \"\" && so(n)"},
}

var foundGuards = [][3]string{
	{"no new cluster in place of a known one", "case r.UUID != \"\":\n\t\treturn decision{action: wait, reason: fmt.Sprintf(\"the record", "case false:\n\t\treturn decision{action: wait, reason: fmt.Sprintf(\"the record"},
	{"no new cluster when data were lost", `case r.loser() != "":`, "case false:"},
	{"only the founder founds", "case r.Founder != s.self:", "case false:"},
	{"a founder that may have served keeps its role", `r.Adopted || r.UUID != "" || r.Generation > 0 ||`, ""},
}

var startGuards = [][3]string{
	{"a record that was put back is not believed", `fault != "" && !s.mayBelieve(old.Record) {`, `false && fault != "" {`},
	{"alone only with data", "return s.local.data == Full && s.local", "return s.local"},
	{"alone only with data that the record has started", "s.local.memory.Record != \"\" && !s.local.marked &&", "!s.local.marked &&"},
	{"alone only without the marker", "!s.local.marked && s.local.view", "s.local.view"},
	{"alone not with a view of one node", "s.local.view != 1 &&", ""},
	{"alone not beside another pod", "&& !s.twin", ""},
	{"a lost answer is found", "if d, ok := s.attempts[own.Token]; ok && own.State.mayRun() {", "if d, ok := s.attempts[own.Token]; ok && false {"},
	{"the offer is this start's", "if own.Token != s.offer || own.State != Offered ||", "if own.State != Offered ||"},
	{"an offer is one", "own.Token != s.offer || own.State != Offered ||", "own.Token != s.offer ||"},
	{"the offer has the right data", "own.Data != s.local.data ||", ""},
	{"the offer has the right position", "|| own.Position != s.local.position {", "{"},
	{"the addresses of the record are looked at", "return slices.Concat(open, s.dial(ctx, unseen))", "_ = unseen\n\treturn open"},
	{"a record beside data is an adopted one", "s.local.data != NoData || len(there) > 0", "len(there) > 0"},
	{"a record beside a server is an adopted one", "s.local.data != NoData || len(there) > 0", "s.local.data != NoData"},
	{"the marker comes before the write", "if s.local.data != Full || s.local.marked {", "if true {"},
	{"one that was overtaken gives up", "if known && !ours && !s.since.IsZero() {", "if false {"},
	{"another pod is waited for", "s.twin = known && !ours", "s.twin = false && known && !ours"},
	{"an address of another node is not another pod", "if r.Nodes[name].Address == own.Address {", "if false && name != \"\" {"},
}

var carryOutGuards = [][3]string{
	{"an empty volume is marked before a join", "if d.action != join || s.local.data != NoData {", "if true {"},
	{"the view is removed", "if !d.keepView {", "if false {"},
	{"the generation is kept beside the data", "if d.record == nil {\n\t\treturn nil", "if true {\n\t\treturn nil"},
	{"what has diverged is given up", "if !d.discard {\n\t\treturn nil", "if true {\n\t\treturn nil"},
	{"the marker is removed", "stale := []string{markerName, ", "stale := []string{"},
}

var entryGuards = [][3]string{
	{"losses are noted", "n.Lost = r.lossesOf(name, l)", "_ = r.lossesOf"},
	{"data that are older than the record adopt it", "c.Adopted = true // these", "_ = c // these"},
	{"the entry's generation is that of before", "return old.Generation", "return 0"},
	{"the first node's data are the cluster's", "|| old.State == Bootstrapping {", "{"},
	{"the generation beside the data counts", "return min(written, r.Generation)", "return r.Generation"},
	{"data that were given up are not lost", "case l.data == Partial:", "case false:"},
	{"data of another cluster are lost ones", "case l.data == Full && l.position.UUID != n.UUID && n.Data == Full:", "case false:"},
	{"fewer rows are lost ones", "n.Data == Full && l.position.Seqno >= n.Seqno,", "n.Data == Full,"},
	{"a new volume lost what a running server had", "case n.State.mayRun():\n\t\treturn n.loss(true)", "case false:\n\t\treturn n.Lost"},
	{"a new volume lost what a stopped server had", "return n.loss(false)", "return n.Lost"},
	{"an empty volume whose offer was corrected has lost nothing", "if l.data == NoData && old.neverStarted(s.pod) {", "if false {"},
	{"losses add up", "case all.UUID == \"\", all.UUID == before.UUID && all.Seqno < before.Seqno:", "case false:"},
	{"an older volume has lost what a running server had", "if old.State.mayRun() {\n\t\t\treturn old.loss(true)", "if false {\n\t\t\treturn old.loss(true)"},
	{"an older volume has lost what a stopped server had", "if old.Data == Full && !has {", "if false && !has {"},
	{"data that lost their position are lost", "case l.data == Partial && (!old.State.mayRun() || m.Record == r.ID && m.lacks(name, old)) && r.counts(old):", "case false:"},
	{"data of a start that was not carried out are lost", "|| m.Record == r.ID && m.lacks(name, old)) && r.counts(old):", ") && r.counts(old):"},
	{"a volume knows its starts", "m.Next < old.Starts):", "false):"},
	{"a node that is Synced has lost nothing", "n.State, n.Data, n.Lost, n.NonPrimary, n.Waits, n.FailedBoots = Synced, Full, nil, nil, \"\", 0", "n.State, n.Data, n.NonPrimary, n.Waits, n.FailedBoots = Synced, Full, nil, \"\", 0"},
	{"a decision ends when there is a cluster", "c.Bootstrap = nil // there is a cluster", ""},
	{"the cluster gets its UUID", "c.UUID = uuid\n", "\n"},
	{"a cluster is known when all members are", "if c.hasAll(view) {", "if true {"},
	{"one becomes of the history of the others", "max(r.historyOf(generation, n), r.newestIn(view))", "r.historyOf(generation, n)"},
	{"a Synced server is of its own history", "max(r.historyOf(generation, n), r.newestIn(view))", "r.Generation"},
}

var historyGuards = [][3]string{
	{"the first record that a monitor reads may be an older one", `case r.older(j.settings.Node, j.remembers()) != "":`, "case false:"},
	{"a record has no lower generation than the data", "case r.Generation < j.generation: //", "case false: //"},
	{"data that were not removed are of their own history", "own.State != \"\" && !own.State.mayRun() || l.outlived(name, own) {", "own.State != \"\" && !own.State.mayRun() {"},
	{"a start keeps the history that the entry has", "l.data != Full || l.generation > 0 ||", "true ||"},
}

var transferGuards = [][3]string{
	{"one to which no donor sends anything is killed", "gives := d.silent.IsZero() || now.Sub(d.silent) < transferWaits*j.WithoutPrimary\n", "gives := true\n"},
	{"one that no donor has begun to give to is killed", "case d.silent.IsZero():\n", "case false:\n"},
	{"a donor that is connected may be gone", "d.silent = now.Add(-t.idle)\n", "d.silent = now\n"},
	{"one that receives is no donor", "func(n Node) bool { return n.State != Joining })", "func(n Node) bool { return n.State != \"\" })"},
}

var monitorGuards = [][3]string{
	{"no note beside a newer cluster", "case old != nil && old.Generation > j.seen.record.Generation && old", "case false && old"},
	{"a record that says less is put right", "old.follows(j.seen.known) && old.says(j.settings.Node, j.Pod) && !j", "!j"},
	{"an ended server is not noted", "pids, err := j.dir.processes(); err != nil || len(pids) == 0 {", "pids, err := j.dir.processes(); err != nil || len(pids) < 0 {"},
	{"a server of another cluster is not noted", `if r.UUID != "" && r.UUID != uuid {`, "if false {"},
	{"no kill without the API server", "if _, err := j.store.get(ctx); err != nil {\n\t\treturn err", "if false {\n\t\treturn nil"},
	{"no kill of a server that is back", "if !j.isLonely(ctx, j.state(ctx)) {", "if false {"},
	{"a server without a component is killed", "case !j.alone.since.IsZero() && time.Since(j.alone.since) >= j.WithoutPrimary:", "case false:"},
	{"the generation is written beside the data", "return r, j.dir.setGeneration(j.generation)", "return r, nil"},
	{"a decision about a cluster that is there ends", "return d != nil && !j.silent", "return false"},
	{"one that waits for a donor is killed", "return !j.hasDonor(ctx)\n", "return false\n"},
}
