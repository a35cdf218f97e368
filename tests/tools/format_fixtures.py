#!/usr/bin/env python3
"""Makes the sound files of tests/data/formats: one for each container and codec, readable ones and those to be refused by name.

Needs numpy and ffmpeg (with libopus, libvorbis, libmp3lame, libspeex and libgsm), only for making them again. tests/library/formats.rs
reads them and makes the table of docs/audio.md. The sound is that of audio_fixtures.py from 0.4 s on, in 16 bits, so that every
uncompressed format is exact. `CODEC.npy` is ffmpeg's decoding of a lossy file, untrimmed.
"""
import pathlib
import struct
import subprocess

import numpy as np

from audio_fixtures import sound, write_wav

HERE = pathlib.Path(__file__).resolve().parent.parent / "data" / "formats"
SHORT = "source-8k.wav"
LONG = "source-16k.wav"
OPUS = "source-48k.wav"

PCM = ["pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_f64le"]
BIG = ["pcm_s16be", "pcm_s24be", "pcm_s32be", "pcm_f32be", "pcm_f64be"]
G711 = ["pcm_alaw", "pcm_mulaw"]


def ffmpeg(*arguments):
    command = ["ffmpeg", "-loglevel", "error", "-y", *map(str, arguments)]
    subprocess.run(command, check=True, cwd=HERE)


def encode(name, source, codec, *options):
    options = [*options, "-map_metadata", "-1", "-fflags", "+bitexact", "-flags:a", "+bitexact"]
    ffmpeg("-i", source, "-c:a", codec, *options, name)


def reference(name, file, *options):
    """Writes ffmpeg's decoding of `file`, including the parts that a container marks as dropped."""
    raw = subprocess.run(["ffmpeg", "-loglevel", "error", *options, "-flags2", "+skip_manual", "-i", HERE / file, "-f", "f32le", "-"],
                         check=True, capture_output=True).stdout
    np.save(HERE / f"{name}.npy", np.frombuffer(raw, "<f4"))


def samples(name):
    return np.frombuffer((HERE / name).read_bytes()[44:], "<i2")


def chunks(kind, form, parts, size="<I"):
    """Returns a file of RIFF chunks."""
    body = b"".join(name + struct.pack(size, len(data)) + data + b"\0" * (len(data) & 1) for name, data in parts)
    return kind + struct.pack(size, len(body) + 4) + form + body


def box(kind, *parts):
    content = b"".join(parts)
    return struct.pack(">I", len(content) + 8) + kind + content


def hand_made_headers():
    """Writes files of samples, and beginnings of AMR files, that ffmpeg does not write."""
    x = samples(SHORT)
    fmt = struct.pack(">HHIIHH", 1, 1, 8000, 16000, 2, 16)
    (HERE / "rifx-pcm_s16be.wav").write_bytes(chunks(b"RIFX", b"WAVE", [(b"fmt ", fmt), (b"data", x.astype(">i2").tobytes())], ">I"))
    wide = x.astype("<i4") << 16
    fmt = struct.pack("<HHIIHH", 1, 1, 8000, 32000, 4, 24)
    (HERE / "wav-24in32.wav").write_bytes(chunks(b"RIFF", b"WAVE", [(b"fmt ", fmt), (b"data", wide.tobytes())]))
    # Invalid: the unused lower bits, of which the lowest is always set here.
    (HERE / "wav-24in32-low.wav").write_bytes(chunks(b"RIFF", b"WAVE", [(b"fmt ", fmt), (b"data", (wide >> 8 | 1).tobytes())]))
    dec = struct.pack("<4sIIIII", b"dns.", 24, 2 * len(x), 3, 8000, 1)
    (HERE / "au-pcm_s16le.au").write_bytes(dec + x.astype("<i2").tobytes())
    (HERE / "amr.amr").write_bytes(b"#!AMR\n" + b"\x3c" + bytes(31))
    (HERE / "amr-wb.awb").write_bytes(b"#!AMR-WB\n" + b"\x3c" + bytes(31))


def hand_made_movies():
    """Writes MOV and MP4 files that ffmpeg does not write."""
    # QuickTime before the introduction of `ftyp`.
    mov = (HERE / "mov-pcm_s16be.mov").read_bytes()
    first = struct.unpack(">I", mov[:4])[0]
    (HERE / "mov-without-ftyp.mov").write_bytes(struct.pack(">I4s", first, b"free") + mov[8:])

    # HE-AAC and AMR, as MP4's index declares them.
    m4a = (HERE / "mp4-aac.m4a").read_bytes()
    at = m4a.index(b"\x05\x80\x80\x80")
    config = at + 5
    he = bytearray(m4a)
    he[config : config + 2] = bytes([0x2C | 0, 0x08])  # object type 5, SBR
    (HERE / "mp4-he-aac.m4a").write_bytes(he)
    amr = m4a.replace(b"mp4a", b"samr", 1)
    (HERE / "mp4-amr.3gp").write_bytes(amr)


def mp3_in_caf():
    """Writes a CAF file of MP3 with packets of one size."""
    mp3 = (HERE / "mp3-bare.mp3").read_bytes()
    size = 72 * 24000 // 16000
    assert len(mp3) % size == 0 and mp3[size : size + 2] == mp3[:2], "frames of one size"
    desc = struct.pack(">d4sIIIIII", 16000.0, b".mp3", 0, size, 576, 1, 0, 0)
    (HERE / "caf-mp3-equal.caf").write_bytes(
        b"caff\0\1\0\0" + b"desc" + struct.pack(">q", len(desc)) + desc + b"data" + struct.pack(">q", len(mp3) + 4) + bytes(4) + mp3)


def aac_in_caf():
    """Writes a CAF file of AAC: the frames of ADTS, and a table of packets."""
    adts = (HERE / "aac.aac").read_bytes()
    frames = []
    while adts:
        size = (adts[3] & 3) << 11 | adts[4] << 3 | adts[5] >> 5
        frames.append(adts[7:size])
        adts = adts[size:]
    variable = lambda n: bytes([0x80 | n >> 7, n & 0x7F]) if n > 127 else bytes([n])
    table = struct.pack(">qqii", len(frames), 3200, 1024, 1024 * len(frames) - 4224) + b"".join(variable(len(f)) for f in frames)
    config = b"\x04\x11\x40\x15" + bytes(11) + b"\x05\x02\x14\x08"
    cookie = b"\x03\x16\x00\x00\x00" + config
    desc = struct.pack(">d4sIIIIII", 16000.0, b"aac ", 0, 0, 1024, 1, 0, 0)
    caf = b"caff\0\1\0\0" + b"".join(
        name + struct.pack(">q", len(data)) + data
        for name, data in [(b"desc", desc), (b"kuki", cookie), (b"data", bytes(4) + b"".join(frames)), (b"pakt", table)])
    (HERE / "caf-aac.caf").write_bytes(caf)


def edit_list():
    """Writes an M4A that plays two pieces: 0.05 s to 0.1 s, and 0.15 s to 0.2 s."""
    data = bytearray((HERE / "mp4-aac.m4a").read_bytes())
    old = data.index(b"elst") - 4
    size = struct.unpack(">I", data[old : old + 4])[0]
    start = struct.unpack(">i", data[old + 20 : old + 24])[0]
    edits = [(50, start + 800, 65536), (50, start + 2400, 65536)]
    new = box(b"elst", struct.pack(">II", 0, len(edits)), *(struct.pack(">Iii", *edit) for edit in edits))
    data[old : old + size] = new
    # The index follows the sound, so only the boxes around the list grow.
    for kind in (b"moov", b"trak", b"edts"):
        at = data.index(kind) - 4
        data[at : at + 4] = struct.pack(">I", struct.unpack(">I", data[at : at + 4])[0] + len(new) - size)
    (HERE / "mp4-two-pieces.m4a").write_bytes(data)


def chunked_files():
    """Writes the WAV, RF64, W64, AU, AIFF and CAF files."""
    for codec in ["pcm_u8", *PCM, *G711, "adpcm_ms", "adpcm_ima_wav", "adpcm_yamaha", "g726", "libgsm_ms"]:
        encode(f"wav-{codec}.wav", SHORT, codec)
    for codec in ["libmp3lame", "mp2", "ac3", "wmav2"]:
        encode(f"wav-{codec}.wav", LONG, codec, "-f", "wav")
    encode("rf64-pcm_s16le.wav", SHORT, "pcm_s16le", "-rf64", "always")
    for codec in ["pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_f32le", "pcm_alaw"]:
        encode(f"w64-{codec}.w64", SHORT, codec)
    for codec in ["pcm_s8", *BIG, *G711, "g722"]:
        encode(f"au-{codec}.au", SHORT, codec)
    for codec in ["pcm_s8", *BIG, "pcm_s16le", *G711, "adpcm_ima_qt"]:
        encode(f"aiff-{codec}.aiff", SHORT, codec)
    for codec in ["pcm_s8", *BIG, *PCM, *G711, "alac"]:
        encode(f"caf-{codec}.caf", SHORT, codec)
    encode("caf-libmp3lame.caf", LONG, "libmp3lame")
    encode("caf-libopus.caf", OPUS, "libopus", "-b:a", "32k")
    encode("caf-ac3.caf", LONG, "ac3")


def movies():
    """Writes the MOV and MP4 files."""
    for codec in ["pcm_u8", "pcm_s8", *BIG, *PCM, *G711, "alac", "adpcm_ima_qt"]:
        encode(f"mov-{codec}.mov", SHORT, codec)
    for codec in ["aac", "libmp3lame", "ac3"]:
        encode(f"mov-{codec}.mov", LONG, codec)
    for name, source, codec, *options in [
        ("mp4-aac.m4a", LONG, "aac"), ("mp4-alac.m4a", SHORT, "alac"), ("mp4-libmp3lame.mp4", LONG, "libmp3lame"),
        ("mp4-mp2.mp4", LONG, "mp2"), ("mp4-libopus.mp4", OPUS, "libopus", "-b:a", "32k"), ("mp4-flac.mp4", SHORT, "flac", "-strict", "-2"),
        ("mp4-ac3.mp4", LONG, "ac3"), ("mp4-libvorbis.mp4", LONG, "libvorbis"),
        ("mp4-faststart.m4a", LONG, "aac", "-movflags", "+faststart"),
        ("fragments-aac.mp4", LONG, "aac", "-movflags", "frag_keyframe+empty_moov"),
        ("fragments-libopus.mp4", OPUS, "libopus", "-b:a", "32k", "-movflags", "frag_keyframe+empty_moov"),
    ]:
        encode(name, source, codec, *options)


def matroska_and_ogg():
    """Writes the Matroska, WebM and Ogg files."""
    for codec in ["pcm_u8", "pcm_s16be", *PCM, *G711, "adpcm_ms", "flac", "alac"]:
        encode(f"mkv-{codec}.mka", SHORT, codec)
    for codec in ["aac", "libmp3lame", "mp2", "libvorbis", "ac3", "tta", "wavpack"]:
        encode(f"mkv-{codec}.mka", LONG, codec)
    encode("mkv-libopus.mka", OPUS, "libopus", "-b:a", "32k")
    encode("webm-libopus.webm", OPUS, "libopus", "-b:a", "32k")
    encode("webm-libvorbis.webm", LONG, "libvorbis")
    encode("webm-live-libopus.webm", OPUS, "libopus", "-b:a", "32k", "-live", "1")
    encode("webm-live-libvorbis.webm", LONG, "libvorbis", "-live", "1")
    encode("ogg-libopus.ogg", OPUS, "libopus", "-b:a", "32k")
    encode("ogg-libopus-pages.ogg", OPUS, "libopus", "-b:a", "32k", "-page_duration", "40000")
    encode("ogg-libvorbis.ogg", LONG, "libvorbis")
    encode("ogg-flac.ogg", SHORT, "flac")
    encode("ogg-libspeex.ogg", LONG, "libspeex")


def other_files():
    """Writes the files of codecs with a container of their own, and of rare containers."""
    encode("flac.flac", SHORT, "flac")
    encode("mp3.mp3", LONG, "libmp3lame")
    encode("mp3-bare.mp3", LONG, "libmp3lame", "-write_xing", "0", "-id3v2_version", "0")
    encode("mp2.mp2", LONG, "mp2")
    encode("aac.aac", LONG, "aac")
    for name, codec in [("aac.ts", "aac"), ("avi.avi", "pcm_s16le"), ("aac.latm", "aac"), ("asf.wma", "wmav2"), ("ac3.ac3", "ac3"),
                        ("eac3.eac3", "eac3"), ("wavpack.wv", "wavpack"), ("tta.tta", "tta"), ("real.rm", "ac3")]:
        encode(name, LONG, codec)
    encode("flv.flv", LONG, "libmp3lame", "-ar", "22050")
    encode("dts.dts", OPUS, "dca", "-strict", "-2")
    encode("voc.voc", SHORT, "pcm_u8")


def references():
    """Writes the samples that FFmpeg decodes from some of the files."""
    reference("alaw", "wav-pcm_alaw.wav")
    reference("mulaw", "wav-pcm_mulaw.wav")
    reference("adpcm_ms", "wav-adpcm_ms.wav")
    reference("adpcm_ima_wav", "wav-adpcm_ima_wav.wav")
    reference("aac", "aac.aac")
    reference("mp3", "mp3-bare.mp3")
    reference("mp2", "mp2.mp2", "-c:a", "mp2float")
    reference("vorbis", "ogg-libvorbis.ogg")
    reference("opus", "ogg-libopus.ogg", "-c:a", "libopus")


def main():
    """Writes all files."""
    HERE.mkdir(parents=True, exist_ok=True)
    for name, rate, seconds in [(SHORT, 8000, 0.1), (LONG, 16000, 0.2), (OPUS, 48000, 0.2)]:
        write_wav(HERE / name, [sound(0.4 + np.arange(round(rate * seconds)) / rate)], rate)
    chunked_files()
    movies()
    matroska_and_ogg()
    other_files()
    references()
    hand_made_headers()
    hand_made_movies()
    mp3_in_caf()
    aac_in_caf()
    edit_list()
    for name in (SHORT, LONG, OPUS):
        (HERE / name).unlink()


if __name__ == "__main__":
    main()
