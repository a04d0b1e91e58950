package pongo2

import (
	"cmp"
	"slices"

	"github.com/flosch/pongo2/v6"
)

// This file is the tag {% for %} in the place of pongo2's own, which goes over objects in
// an order that changes from one page to the next, does not sort the lists of JSON, and
// takes texts apart into bytes.

// loop is {% for %} with what stands in it.
type loop struct {
	key, value       string // names; value is "" without a comma
	over             pongo2.IEvaluator
	order            *keyOrder // of the page that is rendered
	reversed, sorted bool
	body, empty      *pongo2.NodeWrapper
}

// Forloop is what templates know as forloop.
type Forloop struct {
	Counter, Counter0       int
	Revcounter, Revcounter0 int
	First, Last             bool
	Parentloop              *Forloop
}

// forTag is the tag, for pages whose objects are in this order.
func forTag(order *keyOrder) pongo2.TagParser {
	return func(doc *pongo2.Parser, _ *pongo2.Token, arguments *pongo2.Parser) (pongo2.INodeTag, *pongo2.Error) {
		l := &loop{order: order}
		return l, l.parse(doc, arguments)
	}
}

// parse reads {% for key[, value] in expression [reversed] [sorted] %}.
func (l *loop) parse(doc, arguments *pongo2.Parser) *pongo2.Error {
	name := arguments.MatchType(pongo2.TokenIdentifier)
	if name == nil {
		return arguments.Error("for is followed by a name", nil)
	}
	l.key = name.Val
	if arguments.Match(pongo2.TokenSymbol, ",") != nil {
		if name = arguments.MatchType(pongo2.TokenIdentifier); name == nil {
			return arguments.Error("a name is expected after the comma", nil)
		}
		l.value = name.Val
	}
	if arguments.Match(pongo2.TokenKeyword, "in") == nil {
		return arguments.Error("in is expected", nil)
	}
	var err *pongo2.Error
	if l.over, err = arguments.ParseExpression(); err != nil {
		return err
	}
	l.reversed = arguments.MatchOne(pongo2.TokenIdentifier, "reversed") != nil
	l.sorted = arguments.MatchOne(pongo2.TokenIdentifier, "sorted") != nil
	if arguments.Remaining() > 0 {
		return arguments.Error("nothing but reversed and sorted may follow", nil)
	}
	if l.body, _, err = doc.WrapUntilTag("empty", "endfor"); err != nil {
		return err
	}
	if l.body.Endtag == "empty" {
		l.empty, _, err = doc.WrapUntilTag("endfor")
	}
	return err
}

// Execute implements pongo2.INodeTag.
func (l *loop) Execute(ctx *pongo2.ExecutionContext, w pongo2.TemplateWriter) *pongo2.Error {
	inner := pongo2.NewChildExecutionContext(ctx)
	object, err := l.over.Evaluate(inner)
	if err != nil {
		return err
	}
	rounds := l.rounds(object)
	if len(rounds) == 0 && l.empty != nil {
		return l.empty.Execute(inner, w)
	}
	parent, _ := ctx.Private["forloop"].(*Forloop)
	for i, round := range rounds {
		left := len(rounds) - i
		inner.Private["forloop"] = &Forloop{
			Counter: i + 1, Counter0: i, Revcounter: left, Revcounter0: left - 1,
			First: i == 0, Last: left == 1, Parentloop: parent,
		}
		inner.Private[l.key] = round.key
		if l.value != "" && round.value != nil {
			inner.Private[l.value] = round.value
		}
		if err := l.body.Execute(inner, w); err != nil {
			return err
		}
	}
	return nil
}

// round is what the names of one round stand for.
type round struct{ key, value *pongo2.Value }

// rounds lists what a loop goes over: an object's keys and values, or the items of a list
// or a text.
func (l *loop) rounds(object *pongo2.Value) (rounds []round) {
	if m, ok := object.Interface().(map[string]any); ok {
		for _, key := range l.order.keys(m) {
			rounds = append(rounds, round{pongo2.AsValue(key), pongo2.AsValue(m[key])})
		}
	} else {
		for _, item := range items(object) {
			rounds = append(rounds, round{key: item})
		}
	}
	if l.sorted {
		slices.SortStableFunc(rounds, func(a, b round) int { return compare(a.key, b.key) })
	}
	if l.reversed {
		slices.Reverse(rounds)
	}
	return rounds
}

// items lists what a list or a text is made of; nothing for what is neither.
func items(object *pongo2.Value) (all []*pongo2.Value) {
	if object.IsString() {
		for _, r := range object.String() {
			all = append(all, pongo2.AsValue(string(r)))
		}
		return all
	}
	if object.CanSlice() {
		for i := range object.Len() {
			all = append(all, pongo2.AsValue(object.Index(i).Interface()))
		}
	}
	return all
}

// compare orders numbers by their values, and everything else as text.
func compare(a, b *pongo2.Value) int {
	if a.IsNumber() && b.IsNumber() {
		return cmp.Compare(a.Float(), b.Float())
	}
	return cmp.Compare(a.String(), b.String())
}
