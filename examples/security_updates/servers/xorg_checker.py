# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""A client of an X server that knows each answer (X11 protocol, version 11; little endian)."""

import struct

from checker import Checker, Stream, expect

# The display's number is added.
FIRST_PORT = 6000
CARDINAL, STRING, WINDOW_CLASS_INPUT_OUTPUT = 6, 31, 1
REPLACE, PREPEND, APPEND = 0, 1, 2
# Errors.
BAD_REQUEST, BAD_VALUE, BAD_LENGTH = 1, 2, 16


def padded(data):
    return data + b"\0" * (-len(data) % 4)


class Display:
    """A connection. What has an answer returns it; of what has none an error is seen by sync()."""

    def __init__(self, port):
        self.stream = Stream(port)
        self.stream.send(struct.pack("<BxHHHHxx", ord("l"), 11, 0, 0, 0))
        accepted, size = struct.unpack("<BxHHH", self.stream.read(8))[0::3]
        setup = self.stream.read(4 * size)
        expect(accepted, 1, "connection")
        _, self.ids, _, _, vendor, _, _, formats = struct.unpack_from("<IIIIHHBB", setup)
        screen = 32 + vendor + -vendor % 4 + 8 * formats
        self.root, = struct.unpack_from("<I", setup, screen)
        self.visual, = struct.unpack_from("<I", setup, screen + 32)
        self.depth = setup[screen + 38]
        self.number = 0
        self.extensions = {}
        self.errors = []
        self.events = []

    def id(self):
        self.ids += 1
        return self.ids

    def send(self, code, detail=0, body=b"", is_big=False):
        self.number = (self.number + 1) & 0xFFFF
        body = padded(body)
        size = 1 + len(body) // 4
        head = struct.pack("<BBHI", code, detail, 0, size + 1) if is_big else struct.pack("<BBH", code, detail, size)
        self.stream.send(head + body)

    def answer(self):
        """To the last request: its 32 bytes and what follows; None: it was an error."""
        while True:
            head = self.stream.read(32)
            kind, number = head[0], struct.unpack_from("<H", head, 2)[0]
            if kind == 1:
                expect(number, self.number, "number of an answer")
                return head + self.stream.read(4 * struct.unpack_from("<I", head, 4)[0])
            if kind == 0:
                self.errors.append((head[1], head[10]))
                if number == self.number:
                    return None
                continue
            if kind & 127 == 35:
                head += self.stream.read(4 * struct.unpack_from("<I", head, 4)[0])
            self.events.append(head)

    def ask(self, code, detail=0, body=b""):
        self.send(code, detail, body)
        answer = self.answer()
        if answer is None:
            expect(self.errors, [], f"request {code}, {detail}")
        return answer

    def sync(self):
        """Until all that was sent has been done; the errors since the last time."""
        self.ask_focus()
        errors, self.errors = self.errors, []
        self.events.clear()
        return errors

    def ask_focus(self):
        self.send(43)
        while self.answer() is None:
            pass

    def extension(self, name):
        """Its code; it is asked each time."""
        data = name.encode()
        answer = self.ask(98, 0, struct.pack("<Hxx", len(data)) + data)
        expect(answer[8], 1, name)
        expect(self.extensions.setdefault(name, answer[9]), answer[9], name)
        return answer[9]

    def window(self, x=0, y=0, width=8, height=8):
        window = self.id()
        self.send(1, self.depth, struct.pack("<IIhhHHHHIII", window, self.root, x, y, width, height, 0, WINDOW_CLASS_INPUT_OUTPUT,
                                             self.visual, 2, 0x123456))
        return window

    def pixmap(self, width, height):
        pixmap, context = self.id(), self.id()
        self.send(53, self.depth, struct.pack("<IIHH", pixmap, self.root, width, height))
        self.send(55, 0, struct.pack("<III", context, pixmap, 0))
        return pixmap, context

    def image(self, drawable, width, height):
        answer = self.ask(73, 2, struct.pack("<IhhHHI", drawable, 0, 0, width, height, 0xFFFFFF))
        return [pixel & 0xFFFFFF for pixel in struct.unpack_from(f"<{width * height}I", answer, 32)]

    def close(self):
        self.stream.close()


class XChecker(Checker):
    """All kinds of requests, in connections that last and in short ones. Each removes what it has made."""

    def connect(self):
        self.x = Display(self.port)
        self.first = {}  # answers that stay the same

    def request(self):
        if self.x.ids & 0x1FFFFF > 0x1FF000:
            self.x.close()
            self.x = Display(self.port)
        test = self.random.choice([
            self.atoms, self.windows, self.properties, self.drawing, self.images, self.fonts, self.outputs, self.devices,
            self.device_properties, self.masters, self.keyboard, self.counters, self.fences, self.pictures, self.glyphs, self.regions,
            self.composition, self.records, self.presentation, self.saver, self.big, self.glx, self.connections, self.mistakes])
        test()
        if test != self.mistakes:
            expect(self.x.sync(), [], test.__name__)

    def same(self, what, answer):
        """The same as the first time."""
        expect(answer, self.first.setdefault(what, answer), what)

    def words(self, count=1):
        return struct.pack(f"<{count}I", *(self.random.getrandbits(24) for _ in range(count)))

    def atom(self, name):
        name = name.encode()
        return struct.unpack_from("<I", self.x.ask(16, 0, struct.pack("<Hxx", len(name)) + name), 8)[0]

    def atoms(self):
        name = f"ATOM{self.random.randrange(200)}"
        atom = self.atom(name)
        expect(self.atom(name), atom, name)
        answer = self.x.ask(17, 0, struct.pack("<I", atom))
        expect(answer[32:32 + len(name)], name.encode(), "name of an atom")

    def geometry(self, drawable):
        return struct.unpack_from("<hhHH", self.x.ask(14, 0, struct.pack("<I", drawable)), 12)

    def windows(self):
        x, y, width, height = (self.random.randrange(1, 300) for _ in range(4))
        window = self.x.window(x, y, width, height)
        self.x.send(8, 0, struct.pack("<I", window))
        expect(self.geometry(window), (x, y, width, height), "a window")
        self.x.send(12, 0, struct.pack("<IHxxII", window, 5, y, height + 1))
        self.x.send(12, 0, struct.pack("<IHxxI", window, 8, height + 2))
        expect(self.geometry(window), (y, y, height + 1, height + 2), "a window that was moved")
        answer = self.x.ask(15, 0, struct.pack("<I", window))
        expect(struct.unpack_from("<IIH", answer, 8), (self.x.root, self.x.root, 0), "a window in the tree")
        self.x.send(4, 0, struct.pack("<I", window))

    def properties(self):
        window, name = self.x.window(), self.atom("PROPERTY")
        data = b""
        for _ in range(self.random.randrange(1, 8)):
            mode, more = self.random.choice([REPLACE, PREPEND, APPEND]), self.words(self.random.randrange(1, 9))
            data = {REPLACE: more, PREPEND: more + data, APPEND: data + more}[mode]
            self.x.send(18, mode, struct.pack("<IIIBxxxI", window, name, CARDINAL, 32, len(more) // 4) + more)
        answer = self.x.ask(20, 0, struct.pack("<IIIII", window, name, 0, 0, 1000))
        expect((answer[1], answer[32:32 + len(data)], len(answer)), (32, data, 32 + len(data)), "a property")
        self.x.send(4, 0, struct.pack("<I", window))

    def drawing(self):
        color = self.random.getrandbits(24)
        pixmap, context = self.x.pixmap(4, 4)
        for pixel, x, y, width, height in [(0, 0, 0, 4, 4), (color, 1, 1, 2, 3)]:
            self.x.send(56, 0, struct.pack("<III", context, 4, pixel))
            self.x.send(70, 0, struct.pack("<IIhhHH", pixmap, context, x, y, width, height))
        expect(self.x.image(pixmap, 4, 4), [0] * 4 + [0, color, color, 0] * 3, "a rectangle")
        self.free(pixmap, context)

    def free(self, pixmap, context):
        self.x.send(60, 0, struct.pack("<I", context))
        self.x.send(54, 0, struct.pack("<I", pixmap))

    def images(self):
        data = self.words(9)
        pixmap, context = self.x.pixmap(3, 3)
        other, other_context = self.x.pixmap(3, 3)
        self.x.send(72, 2, struct.pack("<IIHHhhBBxx", pixmap, context, 3, 3, 0, 0, 0, self.x.depth) + data)
        self.x.send(62, 0, struct.pack("<IIIhhhhHH", pixmap, other, context, 0, 0, 0, 0, 3, 3))
        expect(self.x.image(other, 3, 3), list(struct.unpack("<9I", data)), "an image")
        self.free(pixmap, context)
        self.free(other, other_context)

    def fonts(self):
        font = self.x.id()
        self.x.send(45, 0, struct.pack("<IHxx", font, 5) + b"fixed")
        self.same("a font", self.x.ask(47, 0, struct.pack("<I", font))[8:])
        self.same("width of a text", self.x.ask(48, 0, struct.pack("<I", font) + b"\0a\0b\0c\0d")[8:])
        self.same("names of fonts", self.x.ask(49, 0, struct.pack("<HH", 50, 4) + b"*-*x")[8:])
        self.x.send(46, 0, struct.pack("<I", font))

    def outputs(self):
        randr = self.x.extension("RANDR")
        self.same("RANDR", self.x.ask(randr, 0, struct.pack("<II", 1, 5))[8:16])
        answer = self.x.ask(randr, 8, struct.pack("<I", self.x.root))
        crtcs, outputs = struct.unpack_from("<HH", answer, 16)
        expect(outputs >= 1, True, "an output")
        output, = struct.unpack_from("<I", answer, 32 + 4 * crtcs)
        name, data = self.atom("OUTPUT"), self.words(4)
        self.x.send(randr, 13, struct.pack("<IIIBBxxI", output, name, CARDINAL, 32, REPLACE, 4) + data)
        answer = self.x.ask(randr, 15, struct.pack("<IIIIIBBxx", output, name, 0, 0, 100, 0, 0))
        expect(answer[32:], data, "a property of an output")
        self.x.send(randr, 14, struct.pack("<II", output, name))

    def input(self):
        code = self.x.extension("XInputExtension")
        expect(struct.unpack_from("<HH", self.x.ask(code, 47, struct.pack("<HH", 2, 3)), 8), (2, 3), "version of XInput")
        return code

    def devices(self):
        code = self.input()
        self.same("keyboards and pointers", self.all_devices(code))
        answer = self.x.ask(code, 40, struct.pack("<IHxx", self.x.root, 2))
        expect(struct.unpack_from("<I", answer, 8)[0], self.x.root, "where the pointer is")
        window = self.x.window()
        self.x.send(code, 46, struct.pack("<IHxxHHI", window, 1, 2, 1, 1 << 6))
        answer = self.x.ask(code, 60, struct.pack("<I", window))
        expect((struct.unpack_from("<H", answer, 8)[0], answer[32:40]), (1, struct.pack("<HHI", 2, 1, 1 << 6)), "events of a device")
        answer = self.x.ask(code, 54, struct.pack("<IIIIHHHBBBBxxII", 0, window, 0, 5, 2, 1, 1, 0, 1, 1, 0, 1 << 4, 0))
        expect(struct.unpack_from("<H", answer, 8)[0], 0, "a grab of a button")
        self.x.send(code, 55, struct.pack("<IIHHBxxxI", window, 5, 2, 1, 0, 0))
        self.x.send(4, 0, struct.pack("<I", window))

    def device_properties(self):
        code, name, data = self.input(), self.atom("DEVICE"), self.words(3)
        self.x.send(code, 57, struct.pack("<HBBIII", 2, REPLACE, 32, name, CARDINAL, 3) + data)
        answer = self.x.ask(code, 59, struct.pack("<HBxIIII", 2, 0, name, 0, 0, 100))
        expect(answer[32:], data, "a property of a device")
        self.x.send(code, 58, struct.pack("<HxxI", 2, name))

    def masters(self):
        code = self.input()
        before = self.all_devices(code)
        self.x.send(code, 43, struct.pack("<BxxxHHHBB", 1, 1, 3, 3, 1, 1) + b"new")
        added = [one for one in self.all_devices(code) if one not in before]
        expect([name for _, _, _, name in added], [b"new pointer", b"new keyboard", b"new XTEST pointer", b"new XTEST keyboard"],
               "devices of a new pointer and keyboard")
        self.x.send(code, 43, struct.pack("<BxxxHHHBxHH", 1, 2, 3, added[0][0], 2, 0, 0))
        expect(self.all_devices(code), before, "devices")

    def all_devices(self, code, which=0):
        """Of each: its number, what it is, what it belongs to, and its name."""
        answer = self.x.ask(code, 48, struct.pack("<Hxx", which))
        found, at = [], 32
        for _ in range(struct.unpack_from("<H", answer, 8)[0]):
            number, use, attached, classes, size = struct.unpack_from("<HHHHH", answer, at)
            found.append((number, use, attached, answer[at + 12:at + 12 + size]))
            at += 12 + size + -size % 4
            for _ in range(classes):
                at += 4 * struct.unpack_from("<H", answer, at + 2)[0]
        expect(at, len(answer), "size of the list of devices")
        return found

    def keyboard(self):
        code = self.x.extension("XKEYBOARD")
        expect(self.x.ask(code, 0, struct.pack("<HH", 1, 0))[1], 1, "XKB")
        core = 0x100
        for what, request, body in [("map", 8, struct.pack("<HHHBBBBBBBBBBHBBBBxx", core, 0xFF, 0, *[0] * 10, 0, 0, 0, 0, 0)),
                                    ("compatibility map", 10, struct.pack("<HBBHH", core, 0xF, 1, 0, 0)),
                                    ("names", 17, struct.pack("<HxxI", core, 0x3FFF)), ("controls", 6, struct.pack("<Hxx", core)),
                                    ("indicators", 13, struct.pack("<HxxI", core, 0xFFFFFFFF))]:
            self.same("XKB's " + what, self.x.ask(code, request, body)[8:])
        # Events of the map, and what is asked for one client alone.
        self.x.send(code, 1, struct.pack("<HHHHHH", core, 2, 0, 0, 7, 7))
        answer = self.x.ask(code, 21, struct.pack("<HxxIIIII", core, 1, 1, 0, 0, 0))
        expect(struct.unpack_from("<II", answer, 8), (0x1F, 1), "flags of a client")
        self.x.send(code, 1, struct.pack("<HHHHHH", core, 2, 2, 0, 0, 0))
        # An interpretation that is there already.
        answer = self.x.ask(code, 10, struct.pack("<HBBHH", core, 0, 0, 0, 1))
        first, count = struct.unpack_from("<HH", answer, 10)
        expect((first, count), (0, 1), "an interpretation")
        self.x.send(code, 11, struct.pack("<HxBBBHHxx", core, 0, 0, 0, 0, 1) + answer[32:48])

    def counters(self):
        code = self.x.extension("SYNC")
        self.x.ask(code, 0, struct.pack("<BBxx", 3, 1))
        counter, alarm, value = self.x.id(), self.x.id(), self.random.getrandbits(30)
        self.x.send(code, 2, struct.pack("<IiI", counter, 0, value))
        # Value, which is absolute, test, and what is added each time.
        self.x.send(code, 8, struct.pack("<IIIiIIiI", alarm, 0x3F - 0x22, counter, 0, value + 10, 2, 0, 0))
        self.x.send(code, 4, struct.pack("<IiI", counter, 0, 5))
        expect(struct.unpack_from("<iI", self.x.ask(code, 5, struct.pack("<I", counter)), 8), (0, value + 5), "a counter")
        answer = self.x.ask(code, 10, struct.pack("<I", alarm))
        expect(struct.unpack_from("<IIiII", answer, 8), (counter, 0, 0, value + 10, 2), "an alarm")
        self.x.send(code, 9, struct.pack("<IIiI", alarm, 4, 0, value + 20))
        self.x.send(code, 3, struct.pack("<IiI", counter, 0, value + 30))
        self.x.sync()
        self.x.send(code, 11, struct.pack("<I", alarm))
        self.x.send(code, 6, struct.pack("<I", counter))

    def fences(self):
        code = self.x.extension("SYNC")
        self.x.ask(code, 0, struct.pack("<BBxx", 3, 1))
        fence = self.x.id()
        self.x.send(code, 14, struct.pack("<IIBxxx", self.x.root, fence, 0))
        for request, wanted in [(15, 1), (16, 0), (15, 1)]:
            self.x.send(code, request, struct.pack("<I", fence))
            expect(self.x.ask(code, 18, struct.pack("<I", fence))[8], wanted, "a fence")
        self.x.send(code, 19, struct.pack("<I", fence))
        self.x.send(code, 17, struct.pack("<I", fence))

    def render(self):
        """RENDER's code, and the format of the screen."""
        code = self.x.extension("RENDER")
        self.x.ask(code, 0, struct.pack("<II", 0, 11))
        answer = self.x.ask(code, 1)
        formats, = struct.unpack_from("<I", answer, 8)
        found = {}
        for i in range(formats):
            number, kind, depth = struct.unpack_from("<IBB", answer, 32 + 28 * i)
            shifts = struct.unpack_from("<8H", answer, 32 + 28 * i + 8)
            found[kind, depth, shifts] = number
        self.alpha = next(number for (kind, depth, shifts), number in found.items() if (kind, depth, shifts[7]) == (1, 8, 255))
        return code, next(number for (kind, depth, shifts), number in found.items()
                          if (kind, depth, shifts[:2]) == (1, 24, (16, 255)))

    def pictures(self):
        code, screen = self.render()
        red, green, blue = (self.random.getrandbits(8) for _ in range(3))
        pixmap, context = self.x.pixmap(2, 2)
        picture = self.x.id()
        self.x.send(code, 4, struct.pack("<IIII", picture, pixmap, screen, 0))
        self.x.send(code, 26, struct.pack("<BxxxIHHHHhhHH", 1, picture, red * 257, green * 257, blue * 257, 0xFFFF, 0, 0, 2, 2))
        expect(self.x.image(pixmap, 2, 2), [red << 16 | green << 8 | blue] * 4, "a picture")
        # As a pointer's shape, also one that changes.
        cursor, moving = self.x.id(), self.x.id()
        alpha, alpha_picture, alpha_context = self.x.id(), self.x.id(), self.x.id()
        self.x.send(53, 8, struct.pack("<IIHH", alpha, self.x.root, 2, 2))
        self.x.send(code, 4, struct.pack("<IIII", alpha_picture, alpha, self.alpha, 0))
        self.x.send(code, 7, struct.pack("<I", alpha_picture))
        self.x.send(55, 0, struct.pack("<III", alpha_context, alpha, 0))
        argb, argb_picture = self.x.id(), self.x.id()
        self.x.send(53, 32, struct.pack("<IIHH", argb, self.x.root, 2, 2))
        self.x.send(code, 4, struct.pack("<IIII", argb_picture, argb, self.argb(code), 0))
        self.x.send(code, 27, struct.pack("<IIHH", cursor, argb_picture, 0, 0))
        self.x.send(code, 31, struct.pack("<IIIII", moving, cursor, 10, cursor, 20))
        for one in (moving, cursor):
            self.x.send(95, 0, struct.pack("<I", one))
        for one in (picture, argb_picture):
            self.x.send(code, 7, struct.pack("<I", one))
        self.x.send(54, 0, struct.pack("<I", argb))
        self.free(alpha, alpha_context)
        self.free(pixmap, context)

    def argb(self, code):
        answer = self.x.ask(code, 1)
        formats, = struct.unpack_from("<I", answer, 8)
        return next(number for number, kind, depth, alpha in (
            (*struct.unpack_from("<IBB", answer, 32 + 28 * i), struct.unpack_from("<8H", answer, 40 + 28 * i)[7])
            for i in range(formats)) if (kind, depth, alpha) == (1, 32, 255))

    def glyphs(self):
        code, screen = self.render()
        pixmap, context = self.x.pixmap(4, 1)
        picture, source, glyphs = self.x.id(), self.x.id(), self.x.id()
        self.x.send(56, 0, struct.pack("<III", context, 4, 0))
        self.x.send(70, 0, struct.pack("<IIhhHH", pixmap, context, 0, 0, 4, 1))
        self.x.send(code, 4, struct.pack("<IIII", picture, pixmap, screen, 0))
        self.x.send(code, 33, struct.pack("<IHHHH", source, 0xFFFF, 0, 0, 0xFFFF))
        self.x.send(code, 17, struct.pack("<II", glyphs, self.alpha))
        # Not two of one shape: with the first patch for CVE-2024-31083 alone, the server would free it twice.
        shapes = struct.pack("<HHhhhhHHhhhh", 1, 1, 0, 0, 1, 0, 2, 1, 0, 0, 2, 0)
        self.x.send(code, 20, struct.pack("<IIII", glyphs, 2, 1, 2) + shapes + b"\xff\0\0\0\xff\xff\0\0")
        self.x.send(code, 23, struct.pack("<BxxxIIIIhh", 3, source, picture, self.alpha, glyphs, 0, 0) +
                    struct.pack("<BxxxhhBBxx", 2, 1, 0, 1, 2))
        expect(self.x.image(pixmap, 4, 1), [0] + [0xFF0000] * 3, "glyphs")
        self.x.send(code, 22, struct.pack("<II", glyphs, 1))
        self.x.send(code, 19, struct.pack("<I", glyphs))
        for one in (source, picture):
            self.x.send(code, 7, struct.pack("<I", one))
        self.free(pixmap, context)

    def regions(self):
        code = self.x.extension("XFIXES")
        self.x.ask(code, 0, struct.pack("<II", 6, 0))
        region, barrier = self.x.id(), self.x.id()
        x, y, width, height = (self.random.randrange(1, 300) for _ in range(4))
        self.x.send(code, 5, struct.pack("<IhhHH", region, x, y, width, height))
        answer = self.x.ask(code, 19, struct.pack("<I", region))
        expect(struct.unpack_from("<hhHH", answer, 32), (x, y, width, height), "a region")
        self.x.send(code, 10, struct.pack("<I", region))
        self.x.send(code, 31, struct.pack("<IIHHHHIxxH", barrier, self.x.root, 100, 0, 100, 50, 0, 0))
        self.x.send(code, 32, struct.pack("<I", barrier))
        self.x.send(code, 33, struct.pack("<I", 0))
        expect(struct.unpack_from("<I", self.x.ask(code, 34), 8)[0], 0, "when a client is ended")

    def composition(self):
        code = self.x.extension("Composite")
        self.x.ask(code, 0, struct.pack("<II", 0, 4))
        window, pixmap = self.x.window(0, 0, 3, 2), self.x.id()
        self.x.send(code, 1, struct.pack("<IBxxx", window, 1))
        self.x.send(8, 0, struct.pack("<I", window))
        self.x.send(code, 6, struct.pack("<II", window, pixmap))
        expect(self.x.image(pixmap, 3, 2), [0x123456] * 6, "a window that is redirected")
        self.x.send(54, 0, struct.pack("<I", pixmap))
        self.x.send(code, 3, struct.pack("<IBxxx", window, 1))
        self.x.send(4, 0, struct.pack("<I", window))

    def records(self):
        code = self.x.extension("RECORD")
        self.x.ask(code, 0, struct.pack("<HH", 1, 13))
        context = self.x.id()
        # Of clients that come, the requests 1 to 3.
        self.x.send(code, 1, struct.pack("<IBxxxIII", context, 0, 1, 1, 2) + struct.pack("<BBBBHHBBHHBBBBBBBB", 1, 3, *[0] * 16))
        answer = self.x.ask(code, 4, struct.pack("<I", context))
        expect((answer[1], struct.unpack_from("<I", answer, 8)[0] >= 0), (0, True), "a context of records")
        self.x.send(code, 7, struct.pack("<I", context))

    def presentation(self):
        code = self.x.extension("Present")
        self.x.ask(code, 0, struct.pack("<II", 1, 2))
        window, event = self.x.window(0, 0, 2, 2), self.x.id()
        pixmap, context = self.x.pixmap(2, 2)
        self.x.send(8, 0, struct.pack("<I", window))
        color = self.random.getrandbits(24)
        self.x.send(56, 0, struct.pack("<III", context, 4, color))
        self.x.send(70, 0, struct.pack("<IIhhHH", pixmap, context, 0, 0, 2, 2))
        self.x.send(code, 3, struct.pack("<III", event, window, 2))
        self.x.events.clear()
        serial = self.random.getrandbits(30)
        self.x.send(code, 1, struct.pack("<IIIIIhhIIIIxxxxQQQ", window, pixmap, serial, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0))
        for _ in range(1000):
            self.x.ask_focus()
            if any(one[0] & 127 == 35 and one[1] == code for one in self.x.events):
                break
        found = [struct.unpack_from("<I", one, 20)[0] for one in self.x.events if one[0] & 127 == 35 and one[1] == code]
        expect(found, [serial], "what has been presented")
        self.x.send(code, 3, struct.pack("<III", event, window, 0))
        self.free(pixmap, context)
        self.x.send(4, 0, struct.pack("<I", window))

    def saver(self):
        code = self.x.extension("MIT-SCREEN-SAVER")
        self.x.ask(code, 0, struct.pack("<BBxx", 1, 1))
        self.x.send(code, 3, struct.pack("<IhhHHHBBIII", self.x.root, 0, 0, 10, 10, 0, 1, 0, 0, 2, 0))
        self.x.send(115, 1)
        expect(self.x.ask(code, 1, struct.pack("<I", self.x.root))[1], 1, "a saver that is on")
        self.x.send(115, 0)
        expect(self.x.ask(code, 1, struct.pack("<I", self.x.root))[1], 0, "a saver that is off")
        self.x.send(code, 4, struct.pack("<I", self.x.root))

    def big(self):
        code = self.x.extension("BIG-REQUESTS")
        self.same("the longest request", self.x.ask(code, 0)[8:12])
        window, data = self.x.window(), self.words(100) * 700
        name = self.atom("BIG")
        self.x.send(18, REPLACE, struct.pack("<IIIBxxxI", window, name, CARDINAL, 32, len(data) // 4) + data, is_big=True)
        answer = self.x.ask(20, 0, struct.pack("<IIIII", window, name, 0, 0, len(data)))
        expect(answer[32:] == data, True, "a long property")
        self.x.send(4, 0, struct.pack("<I", window))

    def glx(self):
        code = self.x.extension("GLX")
        expect(struct.unpack_from("<II", self.x.ask(code, 7, struct.pack("<II", 1, 4)), 8), (1, 4), "version of GLX")
        self.same("GLX's formats", self.x.ask(code, 21, struct.pack("<I", 0))[8:])

    def connections(self):
        other = Display(self.port)
        expect((other.root, other.visual), (self.x.root, self.x.visual), "another connection")
        window = other.window(1, 2, 3, 4)
        expect(other.sync(), [], "another connection")
        expect(self.geometry(window), (1, 2, 3, 4), "a window of another connection")
        other.close()

    def mistakes(self):
        self.x.send(4, 0, struct.pack("<I", self.x.id()))
        expect(self.x.sync(), [(3, 4)], "a window that is not there")
        self.x.send(127, 0)
        self.x.send(18, 7, struct.pack("<IIIBxxxI", self.x.root, 1, STRING, 8, 0))
        self.x.send(14, 0, b"")
        expect(self.x.sync(), [(BAD_VALUE, 18), (BAD_LENGTH, 14)], "wrong requests")


def faults():
    return {
        "0001-Xi-randr-fix-handling-of-PropModeAppend-Prepend.patch": loses_what_is_appended_to,
        "CVE-2025-49177/0001-xfixes-Check-request-length-for-SetClientDisconnectM.patch": accepts_a_short_request,
    }


def loses_what_is_appended_to(port):
    """A property of a device is what was appended to it; what is prepended would be written beyond it, and is not tried."""
    x = Display(port)
    code, name = x.extension("XInputExtension"), 1
    x.ask(code, 47, struct.pack("<HH", 2, 3))
    for mode in (REPLACE, APPEND):
        x.send(code, 57, struct.pack("<HBBIIII", 2, mode, 32, name, CARDINAL, 1, mode))
    answer = x.ask(code, 59, struct.pack("<HBxIIII", 2, 0, name, 0, 0, 100))
    x.send(code, 58, struct.pack("<HxxI", 2, name))
    expect(x.sync(), [], "a property of a device")
    x.close()
    return answer[32:] != struct.pack("<II", REPLACE, APPEND)


def accepts_a_short_request(port):
    """It reads what is behind a request as a part of it."""
    x = Display(port)
    code = x.extension("XFIXES")
    x.ask(code, 0, struct.pack("<II", 6, 0))
    x.send(code, 33)
    errors = x.sync()
    x.close()
    return errors != [(BAD_LENGTH, code)]
