//! Arrays and objects of the canonical form while serde hands over their contents.

use serde::ser::{self, Serialize};

use super::canonical::{self, CanonicalError};
use super::member::{Members, NameSerializer};
use super::raw;

/// An array under way.
pub(super) struct Elements<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
    close: &'static [u8],
}

impl<'a> Elements<'a> {
    pub(super) fn open(out: &'a mut Vec<u8>, close: &'static [u8]) -> Self {
        out.push(b'[');
        Self {
            out,
            first: true,
            close,
        }
    }

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CanonicalError> {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
        canonical::write(self.out, value)
    }

    fn close(self) {
        self.out.extend_from_slice(self.close);
    }
}

macro_rules! elements {
    ($($trait:ident::$method:ident),*) => {$(
        impl ser::$trait for Elements<'_> {
            type Ok = ();
            type Error = CanonicalError;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CanonicalError> {
                self.element(value)
            }

            fn end(self) -> Result<(), CanonicalError> {
                self.close();
                Ok(())
            }
        }
    )*};
}

elements! {
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field
}

/// An object under way.
pub(super) struct Object<'a> {
    out: &'a mut Vec<u8>,
    members: Members,
    /// What stands behind the object's own brace: the brace of an enum's variant, or nothing.
    close: &'static [u8],
}

impl<'a> Object<'a> {
    pub(super) fn open(out: &'a mut Vec<u8>, close: &'static [u8]) -> Self {
        let members = Members::open(out);
        Self {
            out,
            members,
            close,
        }
    }

    fn field<T: Serialize + ?Sized>(
        &mut self,
        name: &str,
        value: &T,
    ) -> Result<(), CanonicalError> {
        self.members.open_name(self.out);
        canonical::write_str(self.out, name);
        self.members.close_name(self.out);
        canonical::write(self.out, value)
    }

    fn close(self) -> Result<(), CanonicalError> {
        self.members.close(self.out)?;
        self.out.extend_from_slice(self.close);
        Ok(())
    }
}

impl ser::SerializeMap for Object<'_> {
    type Ok = ();
    type Error = CanonicalError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), CanonicalError> {
        self.members.open_name(self.out);
        key.serialize(NameSerializer { out: self.out })?;
        self.members.close_name(self.out);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CanonicalError> {
        canonical::write(self.out, value)
    }

    fn end(self) -> Result<(), CanonicalError> {
        self.close()
    }
}

impl ser::SerializeStructVariant for Object<'_> {
    type Ok = ();
    type Error = CanonicalError;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), CanonicalError> {
        self.field(name, value)
    }

    fn end(self) -> Result<(), CanonicalError> {
        self.close()
    }
}

/// A struct under way: an object, or one of the two structs by which `serde_json` says that the
/// one string in it is the text of a number or of any JSON value.
pub(super) enum Structure<'a> {
    Object(Object<'a>),
    Number(&'a mut Vec<u8>),
    Raw(&'a mut Vec<u8>),
}

impl ser::SerializeStruct for Structure<'_> {
    type Ok = ();
    type Error = CanonicalError;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), CanonicalError> {
        match self {
            Self::Object(object) => object.field(name, value),
            Self::Number(out) => raw::write_number(out, &raw::text_of(value)?),
            Self::Raw(out) => raw::rewrite(out, &raw::text_of(value)?),
        }
    }

    fn end(self) -> Result<(), CanonicalError> {
        match self {
            Self::Object(object) => object.close(),
            Self::Number(_) | Self::Raw(_) => Ok(()),
        }
    }
}
