//! Boxes: the parts of MP4 and QuickTime files.

/// A box in memory.
#[derive(Clone, Copy)]
pub(super) struct Mp4Box<'a> {
    pub kind: [u8; 4],
    pub content: &'a [u8],
}

/// The header of a box.
pub(super) struct BoxHeader {
    pub kind: [u8; 4],
    /// Bytes of the header.
    pub len: u64,
    /// Bytes of the box with its header; `None` up to the end of its parent.
    pub size: Option<u64>,
}

impl BoxHeader {
    /// Reads the header at the beginning of `bytes`, of at most 16 bytes; returns `None` for a cut or invalid header.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (size, rest) = bytes.split_first_chunk::<4>()?;
        let (&kind, rest) = rest.split_first_chunk::<4>()?;
        let (len, size) = match u32::from_be_bytes(*size) {
            0 => (8, None),
            1 => (16, Some(u64::from_be_bytes(*rest.first_chunk()?))),
            size => (8, Some(u64::from(size))),
        };
        size.is_none_or(|size| size >= len).then_some(Self { kind, len, size })
    }
}

/// Returns the boxes in `parent`, up to the first invalid box; the last may be cut.
pub(super) fn boxes(parent: &[u8]) -> impl Iterator<Item = Mp4Box<'_>> {
    let mut rest = parent;
    std::iter::from_fn(move || {
        let header = BoxHeader::read(rest)?;
        let end = header.size.and_then(|size| usize::try_from(size).ok()).unwrap_or(usize::MAX).min(rest.len());
        let content = rest.get(header.len as usize..end)?;
        rest = rest.get(end..)?;
        Some(Mp4Box { kind: header.kind, content })
    })
}

/// Returns the content of the first box in `parent` at a path of kinds.
pub(super) fn find<'a>(parent: &'a [u8], path: &[&[u8; 4]]) -> Option<&'a [u8]> {
    path.iter()
        .try_fold(parent, |parent, kind| boxes(parent).find(|found| found.kind == **kind).map(|found| found.content))
}

/// The fields of a box, read one by one.
pub(super) struct Fields<'a>(pub &'a [u8]);

impl Fields<'_> {
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    pub fn skip(&mut self, len: usize) -> Option<()> {
        self.0 = self.0.get(len..)?;
        Some(())
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// Reads the version and the flags that begin a full box.
    pub fn version(&mut self) -> Option<(u8, u32)> {
        let word = self.u32()?;
        Some(((word >> 24) as u8, word & 0xff_ffff))
    }
}
