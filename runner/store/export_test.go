package store

// Hasten makes a store send in parts what is larger than part bytes, and try as often
// as it is told, for tests of what happens then.
func (s *S3) Hasten(part, most int) {
	s.partSize, s.tries.most = part, most
}
