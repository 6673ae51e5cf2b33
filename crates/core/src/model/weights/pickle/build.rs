//! What PyTorch would call: storages, tensors and dictionaries, built as plain values.

use crate::model::weights::dtype::Dtype;
use crate::model::weights::pickle::known::Known;
use crate::model::weights::pickle::machine::Machine;
use crate::model::weights::pickle::{Storage, Tensor, Value};

/// PyTorch has no tensors of more dimensions.
const MOST_DIMENSIONS: usize = 64;

/// No call that is known takes more.
const MOST_ARGUMENTS: usize = 16;

impl<'a> Machine<'a> {
    /// `("storage", type, key, device, elements[, view])` becomes a storage.
    pub(super) fn persistent(&mut self) -> Result<(), String> {
        let id = self.pop()?;
        let parts = self.items(id)?;
        // Old PyTorch: a class with its source, which is looked at no more than any other class.
        if let [Value::Text("module"), class, ..] = parts {
            let class = *class;
            self.stack.push(class);
            return Ok(());
        }
        if let [Value::Text("storage"), Value::Name(class), ..] = parts {
            let class = *class;
            let storage = self.foreign(class);
            self.stack.push(storage);
            return Ok(());
        }
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
    pub(super) fn items(&self, value: Value<'a>) -> Result<&[Value<'a>], String> {
        match value {
            Value::Tuple(index) | Value::List(index) => Ok(&self.objects.lists[index]),
            _ => Err("its list of tensors is not made as PyTorch makes it".into()),
        }
    }

    /// What Python would call becomes the value it would give, or one that nobody looks into.
    pub(super) fn reduce(&mut self, arguments: Value<'a>) -> Result<(), String> {
        let callee = self.pop()?;
        let Value::Known(_) = callee else { return self.call(callee, Vec::new()) };
        let arguments = self.items(arguments)?;
        if arguments.len() > MOST_ARGUMENTS {
            return Err(format!("it calls something with {} values", arguments.len()));
        }
        let arguments = arguments.to_vec();
        self.call(callee, arguments)
    }

    /// As [`Machine::reduce`], where the arguments are at hand; those of what is not known do not matter.
    pub(super) fn call(
        &mut self,
        callee: Value<'a>,
        arguments: Vec<Value<'a>>,
    ) -> Result<(), String> {
        let value = match callee {
            Value::Known(callee) => self.known_call(callee, &arguments)?,
            Value::Name(name) => self.foreign(name),
            // A method or a function that was itself made, e.g. by `functools.partial`.
            Value::Foreign(index) => self.foreign(self.objects.foreign[index].name),
            _ => return Err("it calls what cannot be called".into()),
        };
        self.stack.push(value);
        Ok(())
    }

    fn known_call(&mut self, callee: Known, arguments: &[Value<'a>]) -> Result<Value<'a>, String> {
        Ok(match (callee, arguments) {
            (Known::OrderedDict, []) | (Known::DefaultDict, _) => self.dict(Vec::new()),
            (Known::OrderedDict, [items]) => self.ordered_dict(*items)?,
            (Known::Encode, _) => Value::Plain,
            (Known::Size, [sizes]) => *sizes,
            (Known::RebuildParameter, [tensor, ..]) => *tensor,
            (
                Known::RebuildFromType,
                [Value::Known(builder), Value::Known(Known::Tensor), arguments, ..],
            ) if *builder != Known::RebuildFromType => {
                let arguments = self.items(*arguments)?;
                let arguments = arguments[..arguments.len().min(MOST_ARGUMENTS)].to_vec();
                self.known_call(*builder, &arguments)?
            }
            // Of another class: what its numbers mean, only that class knows.
            (Known::RebuildFromType, [_, Value::Name(class), ..]) => self.foreign(*class),
            // On a storage that is not known, or with a type that is not.
            (
                Known::RebuildTensor | Known::RebuildTensorV2 | Known::RebuildTensorV3,
                [Value::Foreign(index), ..],
            )
            | (Known::RebuildTensorV3, [_, _, _, _, _, _, Value::Foreign(index), ..]) => {
                self.foreign(self.objects.foreign[*index].name)
            }
            (Known::RebuildTensorV3, [_, _, _, _, _, _, Value::Name(dtype), ..]) => {
                self.foreign(*dtype)
            }
            (
                Known::RebuildTensor | Known::RebuildTensorV2,
                [storage, offset, shape, strides, ..],
            ) => self.tensor(*storage, [*offset, *shape, *strides], None)?,
            (
                Known::RebuildTensorV3,
                [storage, offset, shape, strides, _, _, Value::Known(Known::Dtype(dtype)), ..],
            ) => self.tensor(*storage, [*offset, *shape, *strides], Some(*dtype))?,
            _ => return Err(format!("it calls {callee:?} with what it does not take")),
        })
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

    /// Attributes are left out: a dictionary's hold the versions of modules.
    pub(super) fn build(&mut self) -> Result<(), String> {
        self.pop()?;
        match self.top()? {
            Value::Dict(_) | Value::Foreign(_) => Ok(()),
            _ => Err("it sets attributes of what has none".into()),
        }
    }
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
