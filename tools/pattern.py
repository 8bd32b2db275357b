"""Compiles the patterns of service models into deterministic automata, at build time.

The patterns are Java's, matched against a whole value. They use a small language: classes, groups,
alternatives, counted repetition, anchors, and now and then a look-ahead or a look-behind. Each is
turned into a regular expression with intersection and complement, whose derivatives (Brzozowski,
1964) are the states of an automaton; it is then minimised. What this cannot express is an error of
the build, never a silent acceptance at run time.

compile_pattern(text) -> Automaton(classes, states, accepting, table): `classes` maps ranges of code
points to class numbers, table[state][class] is the next state or None.
"""
import unicodedata
from functools import lru_cache

CODE_MAX = 0x10FFFF


class PatternError(Exception):
    pass


# --- sets of code points: sorted tuples of (first, last) ---------------------------------------

def normalize(ranges):
    out = []
    for first, last in sorted(ranges):
        if out and first <= out[-1][1] + 1:
            out[-1] = (out[-1][0], max(out[-1][1], last))
        else:
            out.append((first, last))
    return tuple(out)


def complement(ranges):
    out, at = [], 0
    for first, last in ranges:
        if at < first:
            out.append((at, first - 1))
        at = last + 1
    if at <= CODE_MAX:
        out.append((at, CODE_MAX))
    return tuple(out)


@lru_cache(None)
def category(letter):
    ranges, start = [], None
    for code in range(CODE_MAX + 2):
        inside = code <= CODE_MAX and unicodedata.category(chr(code))[0] == letter
        if inside and start is None:
            start = code
        elif not inside and start is not None:
            ranges.append((start, code - 1))
            start = None
    return tuple(ranges)


DIGIT = ((48, 57),)
WORD = normalize([(48, 57), (65, 90), (95, 95), (97, 122)])
SPACE = normalize([(9, 13), (32, 32)])
PRINT = ((32, 126),)
ANY = ((0, CODE_MAX),)
NOT_LINE_END = complement(normalize([(10, 10), (13, 13), (0x85, 0x85), (0x2028, 0x2029)]))
ESCAPES = {"d": DIGIT, "D": complement(DIGIT), "w": WORD, "W": complement(WORD), "s": SPACE,
           "S": complement(SPACE)}
CONTROLS = {"n": 10, "r": 13, "t": 9, "f": 12, "a": 7, "e": 27}


# --- parsing -----------------------------------------------------------------------------------
# Nodes: ("set", ranges) ("seq", [..]) ("or", [..]) ("rep", node, least, most|None)
#        ("bol",) ("eol",) ("ahead", negative, node) ("behind", negative, node)

class Parser:
    def __init__(self, text):
        self.text, self.at = text, 0

    def fail(self, why):
        raise PatternError(f"{why} at {self.at} of {self.text!r}")

    def peek(self, n=1):
        return self.text[self.at:self.at + n]

    def take(self):
        if self.at >= len(self.text):
            self.fail("unexpected end")
        self.at += 1
        return self.text[self.at - 1]

    def parse(self):
        node = self.alternatives()
        if self.at < len(self.text):
            self.fail("unbalanced )")
        return node

    def alternatives(self):
        branches = [self.sequence()]
        while self.peek() == "|":
            self.take()
            branches.append(self.sequence())
        return branches[0] if len(branches) == 1 else ("or", branches)

    def sequence(self):
        parts = []
        while self.peek() not in ("", "|", ")"):
            parts.append(self.repetition(self.atom()))
        return ("seq", parts)

    def repetition(self, node):
        while True:
            c = self.peek()
            if c == "*":
                bounds = (0, None)
            elif c == "+":
                bounds = (1, None)
            elif c == "?":
                bounds = (0, 1)
            elif c == "{":
                end = self.text.find("}", self.at)
                least, comma, most = self.text[self.at + 1:end].partition(",")
                if end < 0 or not least.isdigit() or (most and not most.isdigit()):
                    self.fail("bad repetition")
                bounds = (int(least), int(most) if most else None if comma else int(least))
                self.at = end
            else:
                return node
            self.take()
            if self.peek() in ("?", "+"):
                self.fail("lazy and possessive repetition are not known")
            node = ("rep", node) + bounds

    def atom(self):
        c = self.take()
        if c == "(":
            return self.group()
        if c == "[":
            return ("set", self.char_class())
        if c == ".":
            return ("set", NOT_LINE_END)
        if c == "^":
            return ("bol",)
        if c == "$":
            return ("eol",)
        if c == "\\":
            found = self.escape()
            return ("set", found if isinstance(found, tuple) else ((found, found),))
        if c in "*+?{":
            self.fail("nothing to repeat")
        return ("set", ((ord(c), ord(c)),))

    def group(self):
        node = None
        for opening, kind in (("?:", None), ("?=", ("ahead", False)), ("?!", ("ahead", True)),
                              ("?<=", ("behind", False)), ("?<!", ("behind", True))):
            if self.peek(len(opening)) == opening:
                self.at += len(opening)
                node = self.alternatives()
                node = kind + (node,) if kind else node
                break
        else:
            if self.peek() == "?":
                self.fail("group of an unknown kind")
            node = self.alternatives()
        if self.take() != ")":
            self.fail("missing )")
        return node

    def escape(self):
        """A code point, or a tuple of ranges."""
        c = self.take()
        if c in ESCAPES:
            return ESCAPES[c]
        if c in CONTROLS:
            return CONTROLS[c]
        if c == "x":
            return self.hexadecimal(2)
        if c == "u":
            code = self.hexadecimal(4)
            if 0xD800 <= code <= 0xDBFF and self.peek(2) == "\\u":
                low = int(self.text[self.at + 2:self.at + 6], 16)
                if 0xDC00 <= low <= 0xDFFF:
                    self.at += 6
                    return 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
            return code
        if c == "p":
            end = self.text.find("}", self.at)
            name = self.text[self.at + 1:end]
            if self.peek() != "{" or end < 0:
                self.fail("bad \\p")
            self.at = end + 1
            if name in ("L", "Z", "N", "P", "S", "M"):
                return category(name)
            if name == "Print":
                return PRINT
            self.fail(f"property {name} is not known")
        if c.isalnum():
            self.fail(f"escape \\{c} is not known")
        return ord(c)

    def hexadecimal(self, n):
        digits = self.peek(n)
        self.at += n
        if len(digits) < n:
            self.fail("short escape")
        return int(digits, 16)

    def char_class(self):
        negative = self.peek() == "^"
        if negative:
            self.take()
        ranges, first = [], True
        while first or self.peek() != "]":
            first = False
            c = self.take()
            if c == "[" or (c == "&" and self.peek() == "&"):
                self.fail("sets inside sets are not known")
            low = self.escape() if c == "\\" else ord(c)
            if isinstance(low, tuple):
                ranges += low
                continue
            high = low
            if self.peek() == "-" and self.peek(2) not in ("-]", "-"):
                at = self.at
                self.take()
                c = self.take()
                high = self.escape() if c == "\\" else ord(c)
                if isinstance(high, tuple):  # "a-\w": the dash is itself
                    self.at, high = at, low
                elif high < low:
                    self.fail("range backwards")
            ranges.append((low, high))
        self.take()
        ranges = normalize(ranges)
        return complement(ranges) if negative else ranges


# --- regular expressions with intersection and complement, hash-consed --------------------------

EMPTY = ("empty",)
EPSILON = ("epsilon",)


def cat(a, b):
    if a == EMPTY or b == EMPTY:
        return EMPTY
    if a == EPSILON:
        return b
    if b == EPSILON:
        return a
    if a[0] == "cat":
        return cat(a[1], cat(a[2], b))
    return ("cat", a, b)


def union(items):
    flat = set()
    for r in items:
        flat |= set(r[1]) if r[0] == "or" else {r}
    flat.discard(EMPTY)
    if ALL in flat:
        return ALL
    if not flat:
        return EMPTY
    return flat.pop() if len(flat) == 1 else ("or", frozenset(flat))


def both(items):
    flat = set()
    for r in items:
        flat |= set(r[1]) if r[0] == "and" else {r}
    flat.discard(ALL)
    if EMPTY in flat:
        return EMPTY
    if not flat:
        return ALL
    return flat.pop() if len(flat) == 1 else ("and", frozenset(flat))


def negate(r):
    return r[1] if r[0] == "not" else ("not", r)


ALL = negate(EMPTY)


def repeat(r, least, most):
    if most == 0 or r == EPSILON:
        return EPSILON
    if r == EMPTY:
        return EPSILON if least == 0 else EMPTY
    if (least, most) == (1, 1):
        return r
    return ("rep", r, least, most)


def has_assertion(node):
    if node[0] == "set":
        return False
    if node[0] in ("seq", "or"):
        return any(has_assertion(n) for n in node[1])
    return True if node[0] != "rep" else has_assertion(node[1])


def zero_width(node):
    if node[0] in ("bol", "eol", "ahead", "behind"):
        return True
    return node[0] in ("seq", "or") and all(zero_width(n) for n in node[1])


def plain(node):
    if node[0] == "set":
        return node
    if node[0] == "seq":
        out = EPSILON
        for part in reversed(node[1]):
            out = cat(plain(part), out)
        return out
    if node[0] == "or":
        return union(plain(n) for n in node[1])
    return repeat(plain(node[1]), node[2], node[3])


def convert(node, rest, at_start):
    """The expression of `node` followed by `rest`, up to the end of the value."""
    kind = node[0]
    if not has_assertion(node):
        return cat(plain(node), rest)
    if kind == "bol":
        if not at_start:
            raise PatternError("^ behind something")
        return rest
    if kind == "eol":
        return both([rest, EPSILON])
    if kind == "ahead":
        seen = convert(node[2], ALL, at_start)
        return both([rest, negate(seen) if node[1] else seen])
    if kind == "or":
        return union(convert(n, rest, at_start) for n in node[1])
    if kind == "seq":
        starts, start = [], at_start
        for part in node[1]:
            starts.append(start)
            start = start and zero_width(part)
        for i, part in enumerate(node[1]):
            if part[0] == "behind":
                before = convert(("seq", node[1][:i]), EPSILON, at_start)
                seen = cat(ALL, plain(part[2]))
                before = both([before, negate(seen) if part[1] else seen])
                return cat(before, convert(("seq", node[1][i + 1:]), rest, False))
        for part, start in zip(reversed(node[1]), reversed(starts)):
            rest = convert(part, rest, start)
        return rest
    if kind == "rep":
        if node[3] is None:
            raise PatternError("an assertion inside an unbounded repetition")
        out = rest
        for turn in range(node[3], 0, -1):
            more = convert(node[1], out, at_start and turn == 1)
            out = union([more, rest]) if turn > node[2] else more
        return out
    raise PatternError(f"{kind} here is not known")


def holds_behind(node, top=True):
    if node[0] == "behind":
        return not top
    if node[0] in ("seq", "or"):
        return any(holds_behind(n, top and node[0] == "seq" and n[0] == "behind")
                   for n in node[1])
    if node[0] in ("rep", "ahead"):
        return holds_behind(node[-1] if node[0] == "ahead" else node[1], False)
    return False


# --- automata ------------------------------------------------------------------------------------

def sets_of(r, found, seen):
    if r in seen:
        return
    seen.add(r)
    if r[0] == "set":
        found.add(r[1])
    elif r[0] in ("or", "and"):
        for x in r[1]:
            sets_of(x, found, seen)
    elif r[0] in ("cat",):
        sets_of(r[1], found, seen)
        sets_of(r[2], found, seen)
    elif r[0] in ("not", "rep"):
        sets_of(r[1], found, seen)


def partition(sets):
    """Ranges (first, class) covering all code points, and for each set its classes."""
    sets = sorted(sets)
    edges = {0}
    for ranges in sets:
        for first, last in ranges:
            edges |= {first, last + 1}
    edges = sorted(e for e in edges if e <= CODE_MAX)
    signature = {e: 0 for e in edges}
    where = {e: i for i, e in enumerate(edges)}
    for bit, ranges in enumerate(sets):
        for first, last in ranges:
            i = where[first]
            while i < len(edges) and edges[i] <= last:
                signature[edges[i]] |= 1 << bit
                i += 1
    numbers, out = {}, []
    for e in edges:
        c = numbers.setdefault(signature[e], len(numbers))
        if not out or out[-1][1] != c:
            out.append((e, c))
    classes = {ranges: frozenset(c for s, c in numbers.items() if s >> bit & 1)
               for bit, ranges in enumerate(sets)}
    return out, len(numbers), classes


class Deriver:
    def __init__(self, classes):
        self.classes, self.memo, self.empties = classes, {}, {}

    def nullable(self, r):
        found = self.empties.get(r)
        if found is None:
            kind = r[0]
            if kind in ("empty", "set"):
                found = False
            elif kind == "epsilon":
                found = True
            elif kind == "cat":
                found = self.nullable(r[1]) and self.nullable(r[2])
            elif kind == "or":
                found = any(self.nullable(x) for x in r[1])
            elif kind == "and":
                found = all(self.nullable(x) for x in r[1])
            elif kind == "not":
                found = not self.nullable(r[1])
            else:
                found = r[2] == 0 or self.nullable(r[1])
            self.empties[r] = found
        return found

    def derive(self, r, c):
        key = (r, c)
        found = self.memo.get(key)
        if found is None:
            found = self.memo[key] = self.derive_new(r, c)
        return found

    def derive_new(self, r, c):
        kind = r[0]
        if kind in ("empty", "epsilon"):
            return EMPTY
        if kind == "set":
            return EPSILON if c in self.classes[r[1]] else EMPTY
        if kind == "cat":
            first = cat(self.derive(r[1], c), r[2])
            return union([first, self.derive(r[2], c)]) if self.nullable(r[1]) else first
        if kind == "or":
            return union(self.derive(x, c) for x in r[1])
        if kind == "and":
            return both(self.derive(x, c) for x in r[1])
        if kind == "not":
            return negate(self.derive(r[1], c))
        least = 0 if self.nullable(r[1]) else max(r[2] - 1, 0)
        most = None if r[3] is None else r[3] - 1
        return cat(self.derive(r[1], c), repeat(r[1], least, most))


STATES_MAX = 4000


class Automaton:
    def __init__(self, ranges, class_count, table, accepting):
        self.ranges, self.class_count = ranges, class_count
        self.table, self.accepting = table, accepting


def explore(start, classes, class_count):
    deriver = Deriver(classes)
    numbers, order, table = {start: 0}, [start], []
    for r in order:
        row = []
        for c in range(class_count):
            to = deriver.derive(r, c)
            if to not in numbers:
                numbers[to] = len(order)
                order.append(to)
                if len(order) > STATES_MAX:
                    raise PatternError("more than %d states" % STATES_MAX)
            row.append(numbers[to])
        table.append(row)
    return table, [deriver.nullable(r) for r in order]


def minimize(table, accepting):
    """Merges equal states; states that cannot accept become None."""
    block = [int(a) for a in accepting]
    count = len(set(block))
    while True:
        numbers = {}
        new = [numbers.setdefault((block[s],) + tuple(block[t] for t in table[s]), len(numbers))
               for s in range(len(table))]
        if len(numbers) == count:
            break
        block, count = new, len(numbers)
    first = {}
    for s, b in enumerate(block):
        first.setdefault(b, s)
    dead = {b for b, s in first.items() if not accepting[s] and all(block[t] == b for t in table[s])}
    order, numbers = [block[0]], {block[0]: 0}
    for b in order:
        for t in table[first[b]]:
            if block[t] not in numbers and block[t] not in dead:
                numbers[block[t]] = len(order)
                order.append(block[t])
    out = [[numbers.get(block[t]) for t in table[first[b]]] for b in order]
    return out, [accepting[first[b]] for b in order]


def merge_classes(ranges, class_count, table):
    """Classes with equal columns become one."""
    columns, numbers = {}, {}
    for c in range(class_count):
        numbers[c] = columns.setdefault(tuple(row[c] for row in table), len(columns))
    out = []
    for first, c in ranges:
        if not out or out[-1][1] != numbers[c]:
            out.append((first, numbers[c]))
    keys = list(columns)
    return out, len(columns), [[keys[c][s] for c in range(len(keys))] for s in range(len(table))]


@lru_cache(None)
def compile_pattern(text):
    try:
        node = Parser(text).parse()
        if holds_behind(node):
            raise PatternError("a look-behind inside a group")
        start = convert(node, EPSILON, True)
        found = set()
        sets_of(start, found, set())
        ranges, class_count, classes = partition(found)
        table, accepting = explore(start, classes, class_count)
        table, accepting = minimize(table, accepting)
        ranges, class_count, table = merge_classes(ranges, class_count, table)
    except PatternError as error:
        raise PatternError(f"pattern {text!r}: {error}") from None
    return Automaton(ranges, class_count, table, accepting)


def matches(automaton, text):
    """For tests of this file."""
    state = 0
    for c in text:
        cls = [k for first, k in automaton.ranges if first <= ord(c)][-1]
        state = automaton.table[state][cls]
        if state is None:
            return False
    return automaton.accepting[state]
