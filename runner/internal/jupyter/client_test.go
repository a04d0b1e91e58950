package jupyter

import (
	"testing"
)

func TestClient_ExecutesOnARealKernel(t *testing.T) {
	c, _ := connect(t, Options{})
	var text string
	reply, err := c.Execute(t.Context(), "print(6*7)", func(m Message) {
		if m.Own && m.Type == "stream" {
			text += string(m.Content)
		}
	})
	if err != nil || reply.Status != "ok" || reply.Count != 1 {
		t.Fatalf("got %+v, %v", reply, err)
	}
	t.Log(text)
}
