package store

import (
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// maxKey is what S3 takes of a key, in bytes; a prefix counts too.
const maxKey = 1024

// checkKey keeps every key inside its store: it is a path of names, none of them a way
// out, and none of them one of our own.
func checkKey(key string) error {
	own := strings.HasPrefix(key, ".tmp") || strings.HasPrefix(key, markerKey)
	if !fs.ValidPath(key) || key == "." || own || len(key) > maxKey || strings.ContainsFunc(key, unsafeInKey) {
		return fmt.Errorf("key %q: %w", key, fs.ErrInvalid)
	}
	return nil
}

// unsafeInKey reports whether a character means something to file systems, or is lost in
// the XML of S3's lists.
func unsafeInKey(c rune) bool { return c == '\\' || c < ' ' || c == 0x7f }

// contentType is what browsers are told of an object. Text is UTF-8, whatever the
// machine's own list of types says.
func contentType(key string) string {
	switch strings.ToLower(path.Ext(key)) {
	case ".html", ".htm":
		return "text/html; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".csv":
		return "text/csv; charset=utf-8"
	case ".log", ".txt":
		return "text/plain; charset=utf-8"
	case ".md":
		return "text/markdown; charset=utf-8"
	case ".yaml":
		return "application/yaml; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".json":
		return "application/json; charset=utf-8"
	case ".geojson":
		return "application/geo+json; charset=utf-8"
	case ".xml":
		return "application/xml; charset=utf-8"
	case ".ipynb":
		return "application/x-ipynb+json; charset=utf-8"
	case ".svg":
		return "image/svg+xml; charset=utf-8"
	case ".gif":
		return "image/gif"
	case ".jpeg", ".jpg":
		return "image/jpeg"
	case ".png":
		return "image/png"
	case ".webp":
		return "image/webp"
	case ".gz":
		return "application/gzip"
	case ".parquet":
		return "application/vnd.apache.parquet"
	case ".pdf":
		return "application/pdf"
	case ".xlsx":
		return "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
	case ".docx":
		return "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
	case ".pptx":
		return "application/vnd.openxmlformats-officedocument.presentationml.presentation"
	case ".zip":
		return "application/zip"
	}
	return "application/octet-stream"
}
