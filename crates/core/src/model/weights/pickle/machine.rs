//! The stack machine: its instructions, its stack and its memory.

use std::collections::HashMap;

use crate::model::weights::pickle::input::{Input, signed, unsigned};
use crate::model::weights::pickle::known::known;
use crate::model::weights::pickle::{Foreign, Name, Objects, Value};

/// Instructions that are carried out at most: a state dict of fifty thousand tensors takes three quarters. Each
/// makes a value of a few dozen bytes at most, or as many as it has itself.
const MOST_STEPS: usize = 4 << 20;

/// A stack machine in the middle of a pickle.
pub(super) struct Machine<'a> {
    pub(super) input: Input<'a>,
    pub(super) stack: Vec<Value<'a>>,
    marks: Vec<usize>,
    memo: HashMap<usize, Value<'a>>,
    /// Where in `objects.names` a name is.
    names: HashMap<(&'a str, &'a str), usize>,
    steps: usize,
    pub(super) objects: Objects<'a>,
    /// Items of lists that were copied: more of them than bytes means a list that is copied again and again.
    pub(super) copied: usize,
}

impl<'a> Machine<'a> {
    /// A machine in front of the first instruction of `bytes`.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            input: Input { bytes, at: 0 },
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            names: HashMap::new(),
            steps: 0,
            objects: Objects::default(),
            copied: 0,
        }
    }

    /// Carries out one instruction. False behind the last.
    pub(super) fn step(&mut self) -> Result<bool, String> {
        self.steps += 1;
        if self.steps > MOST_STEPS {
            return Err("it holds too many values beside its tensors to be read".into());
        }
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
            b'J' => signed(self.input.take(4)?),
            b'K' => unsigned(self.input.number(1)?),
            b'M' => unsigned(self.input.number(2)?),
            0x8a => signed(self.input.counted(1)?),
            0x8b => signed(self.input.counted(4)?),
            b'G' => {
                self.input.take(8)?;
                Value::Plain
            }
            // The capitals T and U are strings of Python 2.
            b'X' | b'T' => self.input.text(4)?,
            0x8c | b'U' => self.input.text(1)?,
            0x8d => self.input.text(8)?,
            b'B' => self.skip(4)?,
            b'C' => self.skip(1)?,
            // Bytes, and bytes that can be changed.
            0x8e | 0x96 => self.skip(8)?,
            // What an extension registry would name by a number.
            0x82 => self.extension(1)?,
            0x83 => self.extension(2)?,
            0x84 => self.extension(4)?,
            b'}' => self.dict(Vec::new()),
            // Sets hold no tensors by name: a list will do.
            b']' | 0x8f => self.list(Vec::new()),
            b')' => self.tuple(Vec::new()),
            b'h' => self.recall(1)?,
            b'j' => self.recall(4)?,
            b'c' => {
                let (module, name) = (self.input.line()?, self.input.line()?);
                self.global(module, name)
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
            b'l' | 0x91 => {
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
            b'e' | 0x90 => {
                let items = self.pop_to_mark()?;
                self.append(items)?;
            }
            0x93 => self.global_on_stack()?,
            b'Q' => self.persistent()?,
            b'R' | 0x81 => {
                let arguments = self.pop()?;
                self.reduce(arguments)?;
            }
            0x92 => {
                // Arguments by name, which nothing known here takes.
                self.pop()?;
                let arguments = self.pop()?;
                self.reduce(arguments)?;
            }
            b'i' => {
                let (module, name) = (self.input.line()?, self.input.line()?);
                let arguments = self.pop_to_mark()?;
                let callee = self.global(module, name);
                self.call(callee, arguments)?;
            }
            b'o' => {
                let mut items = self.pop_to_mark()?.into_iter();
                let callee = items.next().ok_or("it makes an object of nothing")?;
                self.call(callee, items.collect())?;
            }
            b'b' => self.build()?,
            // Whether bytes of elsewhere can be changed.
            0x98 => drop(self.top()?),
            _ => {
                return Err(format!(
                    "its list of tensors holds the instruction {code:#04x}, which state dicts do without"
                ));
            }
        }
        Ok(())
    }

    pub(super) fn dict(&mut self, items: Vec<(Value<'a>, Value<'a>)>) -> Value<'a> {
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

    pub(super) fn top(&self) -> Result<Value<'a>, String> {
        Ok(self.stack[self.floor(1)?])
    }

    pub(super) fn pop(&mut self) -> Result<Value<'a>, String> {
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
        let dict = match self.top()? {
            Value::Dict(dict) => dict,
            Value::Foreign(index) => self.dict_of(index),
            _ => return Err("its list of tensors sets items of what is no dictionary".into()),
        };
        self.objects.dicts[dict].extend(pairs);
        Ok(())
    }

    /// The items of a foreign object, which is a kind of dictionary, as it seems.
    fn dict_of(&mut self, index: usize) -> usize {
        if let Some(dict) = self.objects.foreign[index].dict {
            return dict;
        }
        self.objects.dicts.push(Vec::new());
        let dict = self.objects.dicts.len() - 1;
        self.objects.foreign[index].dict = Some(dict);
        dict
    }

    fn append(&mut self, items: Vec<Value<'a>>) -> Result<(), String> {
        match self.top()? {
            Value::List(list) => self.objects.lists[list].extend(items),
            // A kind of list, of which nobody asks what it holds.
            Value::Foreign(_) => {}
            _ => return Err("its list of tensors appends to what is no list".into()),
        }
        Ok(())
    }

    /// Passes over bytes behind their count, which takes `width` bytes.
    fn skip(&mut self, width: usize) -> Result<Value<'a>, String> {
        self.input.counted(width)?;
        Ok(Value::Plain)
    }

    fn extension(&mut self, width: usize) -> Result<Value<'a>, String> {
        self.input.take(width)?;
        Ok(self.global("copyreg", "extension"))
    }

    fn global_on_stack(&mut self) -> Result<(), String> {
        let (name, module) = (self.pop()?, self.pop()?);
        let (Value::Text(module), Value::Text(name)) = (module, name) else {
            return Err("it names what is no text".into());
        };
        let global = self.global(module, name);
        self.stack.push(global);
        Ok(())
    }

    /// What a name means: something known, or no more than the name.
    fn global(&mut self, module: &'a str, name: &'a str) -> Value<'a> {
        if let Some(known) = known(module, name) {
            return Value::Known(known);
        }
        let names = &mut self.objects.names;
        let index = *self.names.entry((module, name)).or_insert_with(|| {
            names.push(Name { module, item: name, made: 0 });
            names.len() - 1
        });
        Value::Name(index)
    }

    /// An object that the name at `index` would make.
    pub(super) fn foreign(&mut self, index: usize) -> Value<'a> {
        self.objects.names[index].made += 1;
        self.objects.foreign.push(Foreign { name: index, dict: None });
        Value::Foreign(self.objects.foreign.len() - 1)
    }
}

fn pairs<'a>(items: &[Value<'a>]) -> Result<Vec<(Value<'a>, Value<'a>)>, String> {
    if !items.len().is_multiple_of(2) {
        return Err("a dictionary has a key without a value".into());
    }
    Ok(items.chunks_exact(2).map(|it| (it[0], it[1])).collect())
}
