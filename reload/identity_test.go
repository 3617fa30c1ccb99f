package reload

func playIdentity() {}
