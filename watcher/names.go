package watcher

import (
	"net/netip"
	"strings"
)

// What Kubernetes allows in names. The rules are those of k8s.io/apimachinery's
// package validation, which a test holds against these. Its regular expressions
// take a microsecond for each name, and ten thousand endpoints have fifty thousand.

// isDNSWord reports whether s consists of lower-case letters, digits and hyphens,
// and neither begins nor ends with a hyphen.
func isDNSWord(s string) bool {
	if s == "" || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && !isDigit(c) && c != '-' {
			return false
		}
	}
	return true
}

// isDNSLabel reports whether s may be the name of a namespace, or a host name in a
// pod.
func isDNSLabel(s string) bool { return len(s) <= 63 && isDNSWord(s) }

// isObjectName reports whether s may be the name of an object: words between dots.
func isObjectName(s string) bool {
	if len(s) > 253 {
		return false
	}
	word, rest, more := strings.Cut(s, ".")
	for more {
		if !isDNSWord(word) {
			return false
		}
		word, rest, more = strings.Cut(rest, ".")
	}
	return isDNSWord(word)
}

// isExternalName reports whether s may be the external name of a service: a DNS name,
// which may end with a dot, or an IP address.
func isExternalName(s string) bool {
	if _, _, ok := parseIP(s); ok {
		return true
	}
	s = strings.TrimSuffix(s, ".")
	return isObjectName(s) && !endsInNumber(s)
}

// isDomainName reports whether s may be an address of the type FQDN: several labels
// between dots, and a dot at the end or not.
func isDomainName(s string) bool {
	s = strings.TrimSuffix(s, ".")
	if len(s) > 253 || !strings.Contains(s, ".") || endsInNumber(s) {
		return false
	}
	for more := true; more; {
		var label string
		label, s, more = strings.Cut(s, ".")
		if !isDNSLabel(label) {
			return false
		}
	}
	return true
}

// endsInNumber reports whether programs would read the DNS name as an IPv4 address,
// each in its own way: 010.0.0.1, 0x7f.1. Kubernetes lets such names pass.
func endsInNumber(name string) bool {
	last := name[strings.LastIndex(name, ".")+1:]
	return digits(last) == len(last) || strings.HasPrefix(last, "0x")
}

// isHostName reports whether s may be what a machine calls itself. Other than in
// Kubernetes there may be upper-case letters and underscores.
func isHostName(s string) bool {
	return isObjectName(strings.ReplaceAll(strings.ToLower(s), "_", "x"))
}

// isPortName reports whether s may be the name of a container's port.
func isPortName(s string) bool {
	return len(s) <= 15 && isDNSWord(s) && !strings.Contains(s, "--") && strings.Trim(s, "0123456789-") != ""
}

// isLabelValue reports whether s may be the value of a label.
func isLabelValue(s string) bool {
	return s == "" || isLabelName(s)
}

// isLabelName reports whether s consists of letters, digits, hyphens, underscores
// and dots, with a letter or digit at both ends.
func isLabelName(s string) bool {
	if s == "" || len(s) > 63 || !isAlphanumeric(s[0]) || !isAlphanumeric(s[len(s)-1]) {
		return false
	}
	for i := range len(s) {
		if !isNameByte(s[i]) {
			return false
		}
	}
	return true
}

// isQualifiedName reports whether s may be the key of a label: a name, or a DNS
// name and a name with a slash in between.
func isQualifiedName(s string) bool {
	prefix, name, prefixed := strings.Cut(s, "/")
	if !prefixed {
		return isLabelName(s)
	}
	return isObjectName(prefix) && isLabelName(name)
}

// isAnnotationKey reports whether s may be the key of an annotation.
func isAnnotationKey(s string) bool { return isQualifiedName(strings.ToLower(s)) }

// isDataKey reports whether s may be a key in a ConfigMap or a Secret.
func isDataKey(s string) bool {
	if s == "" || s == "." || len(s) > 253 || strings.HasPrefix(s, "..") {
		return false
	}
	for i := range len(s) {
		if !isNameByte(s[i]) {
			return false
		}
	}
	return true
}

func isNameByte(c byte) bool { return isAlphanumeric(c) || c == '-' || c == '_' || c == '.' }

func isAlphanumeric(c byte) bool {
	return ('a' <= c && c <= 'z') || ('A' <= c && c <= 'Z') || isDigit(c)
}

// parseIP returns the address in its canonical form. What programs read in several
// ways is none: leading zeros, an IPv4 address in an IPv6 one, and zones.
func parseIP(s string) (address string, v6, ok bool) {
	ip, err := netip.ParseAddr(s)
	if err != nil || ip.Is4In6() || ip.Zone() != "" {
		return "", false, false
	}
	if ip.Is4() {
		return s, false, true // has one form only
	}
	if canonical := ip.String(); canonical != s {
		return canonical, true, true
	}
	return s, true, true
}

// isPortNumber reports whether a port may have the number.
func isPortNumber(n int32) bool { return 0 < n && n < 1<<16 }
