package strict

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
)

// Duration is a length of time in a file: what time.ParseDuration takes, and days
// as well ("7d", "1d12h"). A day is 24 hours. It is more than zero.
type Duration time.Duration

// ParseDuration reads a Duration.
func ParseDuration(text string) (Duration, error) {
	days, rest, hasDays := strings.Cut(text, "d")
	if !hasDays {
		days, rest = "", text
	}
	var total time.Duration
	if hasDays {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, fmt.Errorf("%q is not a number of days", days)
		}
		total = time.Duration(n) * 24 * time.Hour
	}
	if rest != "" {
		d, err := time.ParseDuration(rest)
		if err != nil {
			return 0, errors.New("not a duration")
		}
		if d < 0 || total > math.MaxInt64-d {
			return 0, errors.New("out of range")
		}
		total += d
	}
	if total <= 0 {
		return 0, errors.New("not more than zero")
	}
	return Duration(total), nil
}

// UnmarshalText reads a Duration.
func (d *Duration) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDuration(string(text))
	return err
}

// Bytes is an amount of memory in a file, as Kubernetes writes it: "512Mi", "1Gi",
// "1G", or a number of bytes.
type Bytes int64

// ParseBytes reads Bytes.
func ParseBytes(text string) (Bytes, error) {
	units := []struct {
		suffix string
		factor int64
	}{
		{"Ki", 1 << 10}, {"Mi", 1 << 20}, {"Gi", 1 << 30}, {"Ti", 1 << 40},
		{"k", 1e3}, {"M", 1e6}, {"G", 1e9}, {"T", 1e12}, {"", 1},
	}
	for _, unit := range units {
		digits, ok := strings.CutSuffix(text, unit.suffix)
		if !ok {
			continue
		}
		n, err := parseDecimal(digits, unit.factor)
		return Bytes(n), err
	}
	panic("unreachable: the last unit fits every text")
}

// String writes it in the largest of Kubernetes' binary units that leaves no fraction.
func (b Bytes) String() string {
	for _, unit := range []struct {
		suffix string
		shift  int
	}{{"Ti", 40}, {"Gi", 30}, {"Mi", 20}, {"Ki", 10}} {
		if n := b >> unit.shift; n > 0 && n<<unit.shift == b {
			return fmt.Sprintf("%d%s", int64(n), unit.suffix)
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// UnmarshalText reads Bytes.
func (b *Bytes) UnmarshalText(text []byte) (err error) {
	*b, err = ParseBytes(string(text))
	return err
}

// MilliCPU is an amount of processor time per time in a file, in thousandths of a
// core, as Kubernetes writes it: "500m", "1", "1.5".
type MilliCPU int64

// ParseMilliCPU reads a MilliCPU.
func ParseMilliCPU(text string) (MilliCPU, error) {
	if milli, ok := strings.CutSuffix(text, "m"); ok {
		n, err := parseDecimal(milli, 1)
		return MilliCPU(n), err
	}
	n, err := parseDecimal(text, 1000)
	return MilliCPU(n), err
}

// String writes whole cores as such, else thousandths: "2", "500m".
func (m MilliCPU) String() string {
	if m%1000 == 0 {
		return strconv.FormatInt(int64(m/1000), 10)
	}
	return fmt.Sprintf("%dm", int64(m))
}

// UnmarshalJSON reads a MilliCPU from a string or a number.
func (m *MilliCPU) UnmarshalJSON(data []byte) (err error) {
	text := string(data)
	if strings.HasPrefix(text, `"`) {
		if err := json.Unmarshal(data, &text); err != nil {
			return err
		}
	}
	*m, err = ParseMilliCPU(text)
	return err
}

// parseDecimal returns a decimal number times factor, which must come out whole,
// positive and no more than 2^50.
func parseDecimal(text string, factor int64) (int64, error) {
	if text == "" || len(text) > 20 || strings.Trim(text, "0123456789.") != "" {
		return 0, errors.New("not a number with a unit")
	}
	n, ok := new(big.Rat).SetString(text)
	if !ok {
		return 0, errors.New("not a number with a unit")
	}
	n.Mul(n, new(big.Rat).SetInt64(factor))
	switch {
	case n.Cmp(new(big.Rat).SetInt64(1<<50)) > 0:
		return 0, errors.New("too much")
	case n.Sign() <= 0:
		return 0, errors.New("not more than zero")
	case !n.IsInt():
		return 0, errors.New("a fraction of the smallest unit")
	}
	return n.Num().Int64(), nil
}
