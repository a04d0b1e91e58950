"""Folders that a notebook may have filled with anything: links, pipes, closed folders,
deep nesting, endless names. For warden.py and desk.py; Linux, Python 3.8, no other package.

Nothing here follows a link, opens a pipe or a device, recurses, or reads more than it was
told. Names of files are slash-separated paths below a folder, as in Go's fs.ValidPath.
"""
import os
import stat

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
GLANCE = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC  # opens anything without touching it
LONGEST = 4096  # bytes of a path, as in Linux
SEEN = 200_000  # entries that a walk looks at; those deep down cost more


class NotFound(Exception):
    """There is no such regular file."""


class TooLarge(Exception):
    """The file has more bytes than the reader takes."""


def parts(name):
    """Splits a path, or raises ValueError."""
    if not name or len(os.fsencode(name)) > LONGEST or "\0" in name:
        raise ValueError("%.100r names no file" % name)
    found = name.split("/")
    if any(part in ("", ".", "..") for part in found):
        raise ValueError("%.100r names no file below the folder" % name)
    return found


def through(fd):
    """A path to what is open as fd, which no link leads away from."""
    return "/proc/self/fd/%d" % fd


def enter(parent, name):
    """Opens a folder in a folder, also one that was closed to its owner."""
    glance = os.open(name, GLANCE | os.O_DIRECTORY, dir_fd=parent)
    try:
        if os.fstat(glance).st_mode & 0o700 != 0o700:
            try:
                os.chmod(through(glance), 0o700)
            except PermissionError:  # not ours: then as it is
                pass
        return os.open(through(glance), FOLDER & ~os.O_NOFOLLOW)
    finally:
        os.close(glance)


def empty(top):
    """Removes all that is in a folder, and leaves the folder.

    Folders in folders are moved to the top first, so that no depth is ever descended to.
    """
    fd = os.open(top, FOLDER)
    try:
        moved = 0
        while True:
            with os.scandir(fd) as entries:  # a folder may have more names than fit into memory
                names = [entry.name for _, entry in zip(range(1000), entries)]
            if not names:
                return
            for name in names:
                moved = remove(fd, name, moved)
    finally:
        os.close(fd)


def remove(top, name, moved):
    """Removes an entry of the folder top, or what it can of it. Returns how often it moved one."""
    if not is_folder(top, name):
        os.unlink(name, dir_fd=top)
        return moved
    folder = enter(top, name)
    try:
        while True:
            with os.scandir(folder) as entries:
                inside = [entry.name for _, entry in zip(range(1000), entries)]
            if not inside:
                break
            for inner in inside:
                if not is_folder(folder, inner):
                    os.unlink(inner, dir_fd=folder)
                    continue
                os.close(enter(folder, inner))  # a closed folder cannot be moved
                while True:
                    try:
                        os.rename(inner, ".removing-%d" % moved, src_dir_fd=folder, dst_dir_fd=top)
                        break
                    except OSError:
                        if moved > 1 << 40 or not exists(top, ".removing-%d" % moved):
                            raise
                        moved += 1
                moved += 1
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=top)
    return moved


def exists(folder, name):
    try:
        os.lstat(name, dir_fd=folder)
    except FileNotFoundError:
        return False
    return True


def is_folder(folder, name):
    return stat.S_ISDIR(os.lstat(name, dir_fd=folder).st_mode)


def write(top, name, chunks):
    """Writes a new file below the folder top, and the folders on its way."""
    *folders, last = parts(name)
    fd = os.open(top, FOLDER)
    try:
        for part in folders:
            try:
                os.mkdir(part, 0o755, dir_fd=fd)
            except FileExistsError:
                pass
            inner = os.open(part, FOLDER, dir_fd=fd)
            os.close(fd)
            fd = inner
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(last, flags, 0o644, dir_fd=fd), "wb") as file:
            for chunk in chunks:
                file.write(chunk)
    finally:
        os.close(fd)


def read(top, name, limit):
    """Opens a regular file of at most limit bytes below the folder top, for reading."""
    try:
        *folders, last = parts(name)
    except ValueError as wrong:
        raise NotFound(str(wrong))
    fd = os.open(top, FOLDER)
    try:
        for part in folders:
            inner = enter(fd, part)
            os.close(fd)
            fd = inner
        glance = os.open(last, GLANCE, dir_fd=fd)
    except OSError as missing:  # no such file, a link, a file on the way
        raise NotFound("%s: %s" % (name, missing.strerror))
    finally:
        os.close(fd)
    try:
        status = os.fstat(glance)
        if not stat.S_ISREG(status.st_mode):
            raise NotFound("%s is no regular file" % name)
        if status.st_size > limit:
            raise TooLarge("%s has %d bytes, the limit is %d" % (name, status.st_size, limit))
        if not status.st_mode & 0o400:
            os.chmod(through(glance), 0o600)
        return open(os.open(through(glance), os.O_RDONLY | os.O_CLOEXEC), "rb")
    finally:
        os.close(glance)


def listing(top, most):
    """Returns the paths of regular files below the folder top, sorted, at most so many.

    Left out are folders that were closed, names that are no UTF-8, and what comes after
    very many other entries.
    """
    found, seen = [], 0
    pending = [""]
    while pending and len(found) < most and seen < SEEN:
        folder = pending.pop()
        files, folders = [], []
        try:
            fd = descend(top, folder)
        except OSError:
            continue
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    seen += 1 + folder.count("/")
                    if seen > SEEN:
                        break
                    path = folder + entry.name
                    if not readable(path):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(path + "/")
                    elif entry.is_file(follow_symlinks=False):
                        files.append(path)
        except OSError:
            pass
        finally:
            os.close(fd)
        found += sorted(files)[: most - len(found)]
        pending += sorted(folders, reverse=True)
    return sorted(found, key=os.fsencode)


def descend(top, folder):
    """Opens a folder below top by its path, which ends in a slash, or is empty."""
    fd = os.open(top, FOLDER)
    for part in folder.split("/")[:-1]:
        try:
            inner = os.open(part, FOLDER, dir_fd=fd)
        finally:
            os.close(fd)
        fd = inner
    return fd


def readable(path):
    try:
        return len(path.encode()) <= LONGEST
    except UnicodeEncodeError:
        return False
