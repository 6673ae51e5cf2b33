//! Pickles, read as data: a stack machine that knows the few objects a state dict is made of.
//!
//! Python's own machine calls whatever a pickle names. This one calls nothing: a name outside of
//! [`Known`] is an error, and the calls that state dicts make build plain values here.
//!
//! Containers lie side by side in one list and refer to each other by index, so that nesting costs no
//! stack, however deep, and sharing costs no memory. **Invariant:** memory is in proportion to the bytes
//! that were read.

use std::collections::HashMap;

use crate::model::weights::dtype::Dtype;

/// A value on the stack. Containers are indices into [`Objects`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    None,
    Bool(bool),
    Int(i128),
    Float,
    Text(&'a str),
    Bytes(&'a [u8]),
    Known(Known),
    Dict(usize),
    List(usize),
    Tuple(usize),
    Storage(usize),
    Tensor(usize),
}

/// What a pickle may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    OrderedDict,
    Size,
    RebuildParameter,
    RebuildTensor,
    RebuildTensorV2,
    RebuildTensorV3,
    /// A storage and the type of its elements; none for bytes that the tensor gives a type.
    Storage(Option<Dtype>),
    /// A type of elements.
    Dtype(Dtype),
}

/// A reference to elements that lie elsewhere in the file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Storage<'a> {
    /// Its name in the file.
    pub(super) key: &'a str,
    /// The type of its elements.
    pub(super) dtype: Option<Dtype>,
    /// How many there are; bytes where the type is none.
    pub(super) elements: usize,
    /// Where it begins in what lies under its name, in elements: old PyTorch shared storages so.
    pub(super) start: usize,
}

/// A view on a storage.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tensor {
    /// Index of its storage.
    pub(super) storage: usize,
    /// The type of its elements.
    pub(super) dtype: Dtype,
    /// First element.
    pub(super) offset: usize,
    /// Sizes.
    pub(super) shape: Vec<usize>,
    /// Elements from one position to the next, in each dimension.
    pub(super) strides: Vec<usize>,
}

/// Everything that a pickle built.
#[derive(Debug, Default)]
pub(super) struct Objects<'a> {
    pub(super) dicts: Vec<Vec<(Value<'a>, Value<'a>)>>,
    pub(super) lists: Vec<Vec<Value<'a>>>,
    pub(super) storages: Vec<Storage<'a>>,
    pub(super) tensors: Vec<Tensor>,
}

/// No tensor of a network has more dimensions.
const MOST_DIMENSIONS: usize = 8;

/// No call that is known takes more.
const MOST_ARGUMENTS: usize = 16;

/// Reads one pickle from the front of `bytes`: its value, what it is made of, and how many bytes it took.
///
/// # Errors
/// What is wrong with it, as the end of a sentence; a name that is not [`Known`] is quoted.
pub(super) fn read(bytes: &[u8]) -> Result<(Value<'_>, Objects<'_>, usize), String> {
    let mut machine = Machine {
        input: Input { bytes, at: 0 },
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        objects: Objects::default(),
        copied: 0,
    };
    while machine.step()? {}
    let value = machine.pop()?;
    Ok((value, machine.objects, machine.input.at))
}

/// Bytes that are read from the front.
struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(count).filter(|it| *it <= self.bytes.len());
        let end = end.ok_or_else(|| "it ends in the middle of its list of tensors".to_owned())?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    /// A little-endian number of `width` bytes without a sign.
    fn number(&mut self, width: usize) -> Result<usize, String> {
        let bytes = self.take(width)?;
        let number = bytes.iter().rev().fold(0_u64, |number, it| number << 8 | u64::from(*it));
        usize::try_from(number).map_err(|_| "it holds a size that cannot be".to_owned())
    }

    /// Bytes behind their count, which takes `width` bytes.
    fn counted(&mut self, width: usize) -> Result<&'a [u8], String> {
        let count = self.number(width)?;
        self.take(count)
    }

    fn text(&mut self, width: usize) -> Result<Value<'a>, String> {
        Ok(Value::Text(utf8(self.counted(width)?)?))
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|it| *it == b'\n').unwrap_or(rest.len());
        let line = self.take(length)?;
        self.take(1)?;
        utf8(line)
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|_| "it holds a name that is no text".to_owned())
}

/// A little-endian number with a sign, as wide as its bytes.
fn signed(bytes: &[u8]) -> Result<Value<'_>, String> {
    if bytes.len() > 16 {
        return Err("it holds a number that is too long to be a size".into());
    }
    let fill = if bytes.last().is_some_and(|it| *it >= 0x80) { 0xff } else { 0 };
    let mut wide = [fill; 16];
    wide[..bytes.len()].copy_from_slice(bytes);
    Ok(Value::Int(i128::from_le_bytes(wide)))
}

struct Machine<'a> {
    input: Input<'a>,
    stack: Vec<Value<'a>>,
    marks: Vec<usize>,
    memo: HashMap<usize, Value<'a>>,
    objects: Objects<'a>,
    /// Items of lists that were copied: more of them than bytes means a list that is copied again and again.
    copied: usize,
}

impl<'a> Machine<'a> {
    /// Carries out one instruction. False behind the last.
    fn step(&mut self) -> Result<bool, String> {
        let code = self.input.byte()?;
        let value = match code {
            b'.' => return Ok(false),
            0x80 => {
                self.input.byte()?;
                return Ok(true);
            }
            // A frame, which only says how many bytes follow.
            0x95 => {
                self.input.take(8)?;
                return Ok(true);
            }
            b'N' => Value::None,
            0x88 => Value::Bool(true),
            0x89 => Value::Bool(false),
            b'J' => signed(self.input.take(4)?)?,
            b'K' => signed_free(self.input.number(1)?),
            b'M' => signed_free(self.input.number(2)?),
            0x8a => signed(self.input.counted(1)?)?,
            0x8b => signed(self.input.counted(4)?)?,
            b'G' => {
                self.input.take(8)?;
                Value::Float
            }
            // The capitals T and U are strings of Python 2.
            b'X' | b'T' => self.input.text(4)?,
            0x8c | b'U' => self.input.text(1)?,
            0x8d => self.input.text(8)?,
            b'B' => Value::Bytes(self.input.counted(4)?),
            b'C' => Value::Bytes(self.input.counted(1)?),
            0x8e => Value::Bytes(self.input.counted(8)?),
            b'}' => self.dict(Vec::new()),
            b']' => self.list(Vec::new()),
            b')' => self.tuple(Vec::new()),
            b'h' => self.recall(1)?,
            b'j' => self.recall(4)?,
            b'c' => {
                let (module, name) = (self.input.line()?, self.input.line()?);
                Value::Known(known(module, name)?)
            }
            _ => return self.act(code).map(|()| true),
        };
        self.stack.push(value);
        Ok(true)
    }

    /// Carries out an instruction that works on the stack.
    fn act(&mut self, code: u8) -> Result<(), String> {
        match code {
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_to_mark()?),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b'q' => {
                let place = self.input.number(1)?;
                self.keep(place)?;
            }
            b'r' => {
                let place = self.input.number(4)?;
                self.keep(place)?;
            }
            0x94 => self.keep(self.memo.len())?,
            b't' => {
                let items = self.pop_to_mark()?;
                let tuple = self.tuple(items);
                self.stack.push(tuple);
            }
            0x85..=0x87 => {
                let count = usize::from(code - 0x84);
                let from = self.floor(count)?;
                let items = self.stack.split_off(from);
                let tuple = self.tuple(items);
                self.stack.push(tuple);
            }
            b'd' => {
                let items = self.pop_to_mark()?;
                let dict = self.dict(pairs(&items)?);
                self.stack.push(dict);
            }
            b'l' => {
                let items = self.pop_to_mark()?;
                let list = self.list(items);
                self.stack.push(list);
            }
            b's' => {
                let from = self.floor(2)?;
                let items = self.stack.split_off(from);
                self.set(&items)?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.set(&items)?;
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' => {
                let items = self.pop_to_mark()?;
                self.append(items)?;
            }
            0x93 => self.global_on_stack()?,
            b'Q' => self.persistent()?,
            b'R' | 0x81 => self.reduce()?,
            b'b' => self.build()?,
            _ => {
                return Err(format!(
                    "its list of tensors holds the instruction {code:#04x}, which state dicts do without"
                ));
            }
        }
        Ok(())
    }

    fn dict(&mut self, items: Vec<(Value<'a>, Value<'a>)>) -> Value<'a> {
        self.objects.dicts.push(items);
        Value::Dict(self.objects.dicts.len() - 1)
    }

    fn list(&mut self, items: Vec<Value<'a>>) -> Value<'a> {
        self.objects.lists.push(items);
        Value::List(self.objects.lists.len() - 1)
    }

    fn tuple(&mut self, items: Vec<Value<'a>>) -> Value<'a> {
        let Value::List(index) = self.list(items) else { unreachable!("a list was just made") };
        Value::Tuple(index)
    }

    /// Where the top `count` values begin; those before a mark cannot be reached.
    fn floor(&self, count: usize) -> Result<usize, String> {
        let lowest = self.marks.last().copied().unwrap_or(0);
        let floor = self.stack.len().checked_sub(count).filter(|it| *it >= lowest);
        floor.ok_or_else(|| "its list of tensors takes more values than it has".to_owned())
    }

    fn top(&self) -> Result<Value<'a>, String> {
        Ok(self.stack[self.floor(1)?])
    }

    fn pop(&mut self) -> Result<Value<'a>, String> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value<'a>>, String> {
        let mark = self.marks.pop().ok_or("its list of tensors has an end without a beginning")?;
        Ok(self.stack.split_off(mark))
    }

    fn recall(&mut self, width: usize) -> Result<Value<'a>, String> {
        let place = self.input.number(width)?;
        let kept = self.memo.get(&place).copied();
        kept.ok_or_else(|| {
            format!("its list of tensors refers to value {place}, which is not there")
        })
    }

    fn keep(&mut self, place: usize) -> Result<(), String> {
        let top = self.top()?;
        self.memo.insert(place, top);
        Ok(())
    }

    fn set(&mut self, items: &[Value<'a>]) -> Result<(), String> {
        let pairs = pairs(items)?;
        let Value::Dict(dict) = self.top()? else {
            return Err("its list of tensors sets items of what is no dictionary".into());
        };
        self.objects.dicts[dict].extend(pairs);
        Ok(())
    }

    fn append(&mut self, items: Vec<Value<'a>>) -> Result<(), String> {
        let Value::List(list) = self.top()? else {
            return Err("its list of tensors appends to what is no list".into());
        };
        self.objects.lists[list].extend(items);
        Ok(())
    }

    fn global_on_stack(&mut self) -> Result<(), String> {
        let (name, module) = (self.pop()?, self.pop()?);
        let (Value::Text(module), Value::Text(name)) = (module, name) else {
            return Err("it names what is no text".into());
        };
        self.stack.push(Value::Known(known(module, name)?));
        Ok(())
    }

    /// `("storage", type, key, device, elements[, view])` becomes a storage.
    fn persistent(&mut self) -> Result<(), String> {
        let id = self.pop()?;
        let parts = self.items(id)?;
        let [
            Value::Text("storage"),
            Value::Known(Known::Storage(dtype)),
            key,
            _,
            elements,
            view @ ..,
        ] = parts
        else {
            return Err("it refers to something that is no storage".into());
        };
        let (dtype, elements) = (*dtype, size(*elements)?);
        let Value::Text(key) = *key else { return Err("a storage has no name".into()) };
        // Old PyTorch: the name of the view, where it begins and how long it is.
        let (start, elements) = match view.first() {
            None | Some(Value::None) => (0, elements),
            Some(view) => match self.items(*view)? {
                [_, start, elements] => (size(*start)?, size(*elements)?),
                _ => return Err("a view on a storage is not as it should be".into()),
            },
        };
        self.objects.storages.push(Storage { key, dtype, elements, start });
        self.stack.push(Value::Storage(self.objects.storages.len() - 1));
        Ok(())
    }

    /// Items of a tuple or list.
    fn items(&self, value: Value<'a>) -> Result<&[Value<'a>], String> {
        match value {
            Value::Tuple(index) | Value::List(index) => Ok(&self.objects.lists[index]),
            _ => Err("its list of tensors is not made as PyTorch makes it".into()),
        }
    }

    /// What PyTorch would call becomes the value it would give.
    fn reduce(&mut self) -> Result<(), String> {
        let arguments = self.pop()?;
        let Value::Known(callee) = self.pop()? else {
            return Err("it calls what cannot be called".into());
        };
        let arguments = self.items(arguments)?;
        if arguments.len() > MOST_ARGUMENTS {
            return Err(format!("it calls something with {} values", arguments.len()));
        }
        let arguments = arguments.to_vec();
        let value = match (callee, arguments.as_slice()) {
            (Known::OrderedDict, []) => self.dict(Vec::new()),
            (Known::OrderedDict, [items]) => self.ordered_dict(*items)?,
            (Known::Size, [sizes]) => *sizes,
            (Known::RebuildParameter, [tensor, ..]) => *tensor,
            (
                Known::RebuildTensor | Known::RebuildTensorV2,
                [storage, offset, shape, strides, ..],
            ) => self.tensor(*storage, [*offset, *shape, *strides], None)?,
            (
                Known::RebuildTensorV3,
                [storage, offset, shape, strides, _, _, Value::Known(Known::Dtype(dtype)), ..],
            ) => self.tensor(*storage, [*offset, *shape, *strides], Some(*dtype))?,
            _ => return Err(format!("it calls {callee:?} with what it does not take")),
        };
        self.stack.push(value);
        Ok(())
    }

    /// A dictionary from a list of pairs, as Python 2 wrote it.
    fn ordered_dict(&mut self, items: Value<'a>) -> Result<Value<'a>, String> {
        let items = self.items(items)?;
        let copied = self.copied + items.len();
        if copied > self.input.bytes.len() {
            return Err("it copies the same items again and again".into());
        }
        let pairs = items.iter().map(|it| match self.items(*it)? {
            [key, value] => Ok((*key, *value)),
            _ => Err("a dictionary is made of what are no pairs".to_owned()),
        });
        let pairs = pairs.collect::<Result<_, _>>()?;
        self.copied = copied;
        Ok(self.dict(pairs))
    }

    fn tensor(
        &mut self,
        storage: Value<'a>,
        [offset, shape, strides]: [Value<'a>; 3],
        dtype: Option<Dtype>,
    ) -> Result<Value<'a>, String> {
        let Value::Storage(storage) = storage else {
            return Err("a tensor has no storage".into());
        };
        let (shape, strides) = (self.items(shape)?, self.items(strides)?);
        if shape.len() != strides.len() || shape.len() > MOST_DIMENSIONS {
            return Err(format!("a tensor has {} dimensions", shape.len()));
        }
        let sizes = |it: &[Value<'a>]| it.iter().map(|it| size(*it)).collect::<Result<Vec<_>, _>>();
        let tensor = Tensor {
            storage,
            dtype: dtype.or(self.objects.storages[storage].dtype).ok_or("a tensor has no type")?,
            offset: size(offset)?,
            shape: sizes(shape)?,
            strides: sizes(strides)?,
        };
        self.objects.tensors.push(tensor);
        Ok(Value::Tensor(self.objects.tensors.len() - 1))
    }

    /// Attributes of a dictionary, which hold the versions of modules, are left out.
    fn build(&mut self) -> Result<(), String> {
        self.pop()?;
        match self.top()? {
            Value::Dict(_) => Ok(()),
            _ => Err("it sets attributes of what has none".into()),
        }
    }
}

fn signed_free<'a>(number: usize) -> Value<'a> {
    Value::Int(number as i128)
}

fn pairs<'a>(items: &[Value<'a>]) -> Result<Vec<(Value<'a>, Value<'a>)>, String> {
    if !items.len().is_multiple_of(2) {
        return Err("a dictionary has a key without a value".into());
    }
    Ok(items.chunks_exact(2).map(|it| (it[0], it[1])).collect())
}

/// A count, size, offset or stride.
fn size(value: Value<'_>) -> Result<usize, String> {
    match value {
        Value::Int(it) => {
            usize::try_from(it).map_err(|_| format!("it holds {it} where a size belongs"))
        }
        _ => Err("it holds something else where a size belongs".into()),
    }
}

/// What `module.name` means, if it is one of the few names that state dicts need.
fn known(module: &str, name: &str) -> Result<Known, String> {
    let found = match (module, name) {
        ("collections", "OrderedDict") => Some(Known::OrderedDict),
        ("torch", "Size") => Some(Known::Size),
        ("torch._utils", "_rebuild_parameter") => Some(Known::RebuildParameter),
        ("torch._utils", "_rebuild_tensor") => Some(Known::RebuildTensor),
        ("torch._utils", "_rebuild_tensor_v2") => Some(Known::RebuildTensorV2),
        ("torch._utils", "_rebuild_tensor_v3") => Some(Known::RebuildTensorV3),
        ("torch.storage" | "torch", "UntypedStorage" | "TypedStorage") => {
            Some(Known::Storage(None))
        }
        ("torch" | "torch.storage", name) => match name.strip_suffix("Storage") {
            Some(storage) => Dtype::of_storage(storage).map(|it| Known::Storage(Some(it))),
            None => Dtype::of_torch(name).map(Known::Dtype),
        },
        _ => None,
    };
    found.ok_or_else(|| {
        let plain: String = format!("{module}.{name}").escape_debug().take(120).collect();
        format!(
            "it asks for `{plain}`, which is no part of a state dict; nothing of it was carried out"
        )
    })
}
