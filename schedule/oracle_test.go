package schedule

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"sync"
	"testing"
	"time"

	"nbpress/internal/testenv"
)

// oracle asks testdata/oracle.py, which counts the minutes of twenty years.
type oracle struct {
	mu sync.Mutex // held while a question is open
	o  *testenv.Oracle
}

func (o *oracle) ask(t *testing.T, question, answer any) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.o.Ask(t, question, answer)
}

// firesQuestion is what the oracle is asked; its answers are pairs of count and hash.
type firesQuestion struct {
	Zone  string   `json:"zone"`
	From  int64    `json:"from"`
	To    int64    `json:"to"`
	Texts []string `json:"texts"`
	List  *int     `json:"list,omitempty"`
}

// oracleTexts are thirty texts: all fields, both rules of daylight saving, and times
// around the hours and days when clocks change. Few of them fire often, for the sake of
// the time that the race detector takes.
func oracleTexts() []string {
	return []string{
		// Hours are free: each real instant counts.
		"30 * * MAR-APR,SEP-NOV 7", "*/30 * * 4,5 5", "15 0-23 17 * *", "*/3 * 29 2 *", "*/7 * 31 12 ?", "0 * 1 */3 *",
		// Hours are named: each time of day counts once.
		"@daily", "30 2 * * *", "30 0 * * FRI", "0 1 * * SUN", "30 1 * * 4-7", "0 2 * * 0", "45 3 * 3-4,9-11 *",
		"59 23 * * THU,SAT", "*/15 0-3 * 3,4,10 SUN", "0 0-22 * 10 SUN", "0 */6 * * SUN", "5,35 23,0 * * SAT", "0-59/20 2 * * 6-7",
		"0 6 * * 1", "0 6 * * MON-FRI/2", "@monthly", "@yearly", "0 0 29 2 *", "0 12 31 * *",
		// Either day is enough.
		"0 0 13 * 5", "0 0 */13 * 1", "0 2 25-31 3,10 0", "30 2 1,15 */3 SAT-SUN/2", "0 4 ? * TUE",
	}
}

// oracleZones are forty zones: with daylight saving of an hour, half an hour and two,
// at midnight and at other hours, of the south, around Ramadan, given up and taken up
// again, with a day skipped, with offsets of quarters of an hour, and with none of it.
func oracleZones() []string {
	return []string{
		"Africa/Cairo", "Africa/Casablanca", "Africa/El_Aaiun", "Africa/Khartoum", "Africa/Lagos", "Africa/Tripoli", "Africa/Windhoek",
		"America/Asuncion", "America/Caracas", "America/Ciudad_Juarez", "America/Godthab", "America/Havana", "America/Los_Angeles",
		"America/Mexico_City", "America/New_York", "America/Santiago", "America/Sao_Paulo", "America/Scoresbysund", "America/St_Johns",
		"Antarctica/Casey", "Antarctica/Troll", "Asia/Amman", "Asia/Beirut", "Asia/Gaza", "Asia/Kathmandu", "Asia/Kolkata",
		"Asia/Pyongyang", "Asia/Tehran", "Asia/Tokyo", "Atlantic/Azores", "Australia/Lord_Howe", "Australia/Sydney",
		"Europe/Dublin", "Europe/Istanbul", "Europe/Madrid", "Europe/Volgograd", "Pacific/Apia", "Pacific/Chatham", "Pacific/Fiji", "UTC",
	}
}

// TestNext_AgreesWithAnOracleThatCountsMinutes compares every instant of twenty years,
// for every text in every zone, with a program in another language. Both read the same
// file of the zone, that of Python's tzdata, each with its own code: what differs then is
// a mistake, and not a newer database.
func TestNext_AgreesWithAnOracleThatCountsMinutes(t *testing.T) {
	texts, zones := oracleTexts(), oracleZones()
	if len(texts) != 30 || len(zones) != 40 {
		t.Fatalf("%d texts in %d zones, want 30 in 40", len(texts), len(zones))
	}
	begin := time.Date(2010, 1, 1, 0, 0, 0, 0, time.UTC)
	end := begin.AddDate(20, 0, 0)
	o := &oracle{o: testenv.NewOracle(t, "testdata/oracle.py")}
	for _, name := range zones {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var data []byte
			o.ask(t, map[string]string{"data": name}, &data)
			zone, err := time.LoadLocationFromTZData(name, data)
			if err != nil {
				t.Fatal(err)
			}
			question := firesQuestion{Zone: name, From: begin.Unix(), To: end.Unix(), Texts: texts}
			var want [][2]any
			o.ask(t, question, &want)
			for i, text := range texts {
				s := mustParse(t, text, "")
				s.zone = zone
				count, sum := summarize(s, begin, end)
				if got := [2]any{float64(count), sum}; got != want[i] {
					question.List = &i
					var list []int64
					o.ask(t, question, &list)
					t.Errorf("%s: %d instants, the oracle has %v\n%s", text, count, want[i][0], firstDifference(s, begin, list))
				}
			}
		})
	}
}

// summarize counts the instants between two at which a schedule fires, and hashes them.
func summarize(s Schedule, begin, end time.Time) (count int, sum string) {
	hash := sha256.New()
	var buf []byte
	for at := s.Next(begin); at.Before(end); at = s.Next(at) {
		count++
		if buf = binary.LittleEndian.AppendUint64(buf, uint64(at.Unix())); len(buf) >= 4096 {
			hash.Write(buf)
			buf = buf[:0]
		}
	}
	hash.Write(buf)
	return count, hex.EncodeToString(hash.Sum(nil))
}

// firstDifference says where a schedule and a list of instants part.
func firstDifference(s Schedule, begin time.Time, list []int64) string {
	at := begin
	for _, want := range list {
		if at = s.Next(at); at.Unix() != want {
			return fmt.Sprintf("first fires at %v, the oracle at %v", at, time.Unix(want, 0).In(s.Location()))
		}
	}
	return fmt.Sprintf("fires at %v, after the oracle's last", s.Next(at))
}
