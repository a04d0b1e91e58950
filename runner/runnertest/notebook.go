package runnertest

import (
	"encoding/json"
	"fmt"
)

// Notebook returns a notebook file of code cells.
func Notebook(sources ...string) []byte {
	cells := []any{}
	for i, source := range sources {
		cells = append(cells, map[string]any{
			"cell_type": "code", "id": fmt.Sprint("cell-", i), "metadata": struct{}{}, "outputs": []any{}, "execution_count": nil, "source": source,
		})
	}
	data, err := json.Marshal(map[string]any{"cells": cells, "metadata": struct{}{}, "nbformat": 4, "nbformat_minor": 5})
	if err != nil {
		panic(err) // strings always encode
	}
	return data
}
