"""Files that somebody may upload: photographs, damaged ones, and what is none."""
import os
import pathlib
import zlib

PHOTOS = pathlib.Path("/usr/share/backgrounds/mate")


def _png_chunk(kind, content):
    return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")


def _png(width, height, rows):
    """Grey, a byte a pixel, all black; `rows` of them are there."""
    packer = zlib.compressobj(9)
    row = b"\0" * (width + 1)
    pixels = b"".join(packer.compress(row) for _ in range(rows)) + packer.flush()
    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\0\0\0\0"
    return b"\x89PNG\r\n\x1a\n" + _png_chunk(b"IHDR", head) + _png_chunk(b"IDAT", pixels) + _png_chunk(b"IEND", b"")


def _with_frame_size(jpeg, width, height):
    at = jpeg.index(b"\xff\xc0") if b"\xff\xc0" in jpeg else jpeg.index(b"\xff\xc2")
    return jpeg[:at + 5] + height.to_bytes(2, "big") + width.to_bytes(2, "big") + jpeg[at + 9:]


def _webp_of(width, height):
    canvas = b"\0\0\0\0" + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    chunk = b"VP8X" + len(canvas).to_bytes(4, "little") + canvas
    return b"RIFF" + (4 + len(chunk)).to_bytes(4, "little") + b"WEBP" + chunk


def all_of(webp):
    """Name → files. `webp` is a whole one."""
    jpeg = (PHOTOS / "nature/FreshFlower.jpg").read_bytes()
    png = (PHOTOS / "abstract/Spring.png").read_bytes()
    one = {
        "photo": jpeg, "another photo": png, "empty": b"",
        "text": b"hello, I am a photograph", "html": b"<!doctype html><script>alert(1)</script>", "two bytes": b"\xff\xd8",
        "svg": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
        "xml entity": b"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><svg>&e;</svg>",
        "mvg": b"push graphic-context\nviewbox 0 0 640 480\nfill 'url(https://127.0.0.1/x.jpg\"|id\")'\npop graphic-context",
        "pdf": b"%PDF-1.7\n%....\n1 0 obj", "zip": b"PK\x03\x04" + b"\0" * 40, "gif": b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff!\xf9\x04\0\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;",
        "empty gif": b"GIF89a", "tiff": b"II*\0\x08\0\0\0" + b"\0" * 40, "wave": b"RIFF\x24\0\0\0WAVEfmt " + b"\0" * 20, "elf": b"\x7fELF\x02\x01\x01" + b"\0" * 40,
        "head of a jpeg": jpeg[:200], "half a jpeg": jpeg[:len(jpeg) // 2], "half a png": png[:len(png) // 2], "half a webp": webp[:len(webp) // 2],
        "jpeg of noise": b"\xff\xd8\xff\xe0" + os.urandom(5000), "png with a wrong length": png[:8] + b"\x7f\xff\xff\xff" + png[12:],
        "png of no size": _png(0, 0, 0), "jpeg of no size": _with_frame_size(jpeg, 0, 0),
        "png bomb": _png(12_000, 12_000, 12_000), "png of two thousand million pixels": _png(50_000, 40_000, 1), "webp bomb": _webp_of(16_384, 16_384),
        "21 MiB": jpeg + b"\0" * (21 << 20),
    }
    files = {name: [("sample.jpg", content)] for name, content in one.items()}
    files["eleven photos"] = files["photo"] * 11
    files["a photo and a text"] = files["photo"] + files["text"]
    return files
