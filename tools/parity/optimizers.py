"""Optimizers, schedules, gradient clipping and the moving average over 50 steps of PyTorch's."""

import contextlib
import copy
from pathlib import Path
from typing import Callable, ContextManager, Dict, Iterable, List, NamedTuple, Optional
from unittest import mock

import timm.utils
import torch
from exchange import Claim, Comparison, absolute, of_prefix, relative_values
from images import CLASSES, faces, scaled
from networks import ADAM, SGD, Make, Trained, adam, network_task, save_weights, sgd, stage, steady, train
from torch import nn, optim
from torch.optim import lr_scheduler


class Case(NamedTuple):
    title: str
    table: Dict[str, object]
    make: Make


def case(title: str, name: str, kind: Callable[..., optim.Optimizer], **settings: object) -> Case:
    """An optimizer whose settings have the same names on both sides."""
    return Case(title, {name: settings}, lambda them: kind(them, **settings))


ADAMW = case("AdamW", "adamw", optim.AdamW, lr=1e-3, weight_decay=0.05)
OPTIMIZERS = [
    Case("SGD with Nesterov momentum and decay", {"sgd": SGD}, sgd),
    Case("Adam", {"adam": ADAM}, adam),
    ADAMW,
    case("SGD", "sgd", optim.SGD, lr=5e-3),
    case("SGD with momentum", "sgd", optim.SGD, lr=5e-3, momentum=0.8),
    case("SGD with decay", "sgd", optim.SGD, lr=5e-3, weight_decay=0.1),
    case("Adam with decay and other betas", "adam", optim.Adam, lr=3e-3, betas=(0.8, 0.99), eps=1e-6, weight_decay=0.02),
    case("RMSprop", "rmsprop", optim.RMSprop, lr=1e-3),
    case("RMSprop, centered", "rmsprop", optim.RMSprop, lr=1e-3, alpha=0.9, centered=True),
    case("RMSprop with momentum and decay", "rmsprop", optim.RMSprop, lr=1e-4, momentum=0.9, weight_decay=0.01),
    case("RMSprop, centered with momentum", "rmsprop", optim.RMSprop, lr=1e-4, momentum=0.9, centered=True),
    case("RAdam", "radam", optim.RAdam, lr=5e-3),
    case("RAdam with decay", "radam", optim.RAdam, lr=5e-3, weight_decay=0.05),
    case("RAdam with decoupled decay", "radam", optim.RAdam, lr=5e-3, weight_decay=0.05, decoupled_weight_decay=True),
]


def whole_network(folder: Path) -> Comparison:
    start = steady("mobilenet_v2")
    weights = save_weights(start, folder / "optimizers.safetensors")
    images = faces(5 * 32, 64)
    cases = OPTIMIZERS[:3]
    outputs = yield [network_task(weights, {"images": images}, 64, stage=stage(it.table, batch=32)) for it in cases]
    claims = []
    for it, output in zip(cases, outputs):
        theirs = train(copy.deepcopy(start).train(), scaled(images), 32, it.make)
        difference = relative_values(output["losses"], theirs.losses)
        claims.append(Claim(f"losses of 5 steps of {it.title}, all layers, relative", difference, 1e-3))
    return claims


# ---------------------------------------------------------------------------------------------------
# One linear layer on given features and small rates, so that rounding does not grow: 5 epochs of 10 steps

BATCH = 8
STEPS, EPOCHS = 50, 5


class Toy(NamedTuple):
    """What Ferrite is told of a run, and what PyTorch does."""

    title: str
    optimizer: Case
    settings: Dict[str, object]
    theirs: Dict[str, object]


def run_toys(folder: Path, name: str, toys: List[Toy], start: Optional[nn.Module] = None, hidden: Iterable[int] = ()) -> Comparison:
    """Rates, losses and last weights of each; `hidden` are the widths of the hidden layers that the head of `start` has."""
    start = start or steady("mobilenet_v2")
    weights = save_weights(start, folder / f"{name}.safetensors")
    features = torch.rand(STEPS // EPOCHS * BATCH, 1, 1, 1280, generator=torch.Generator().manual_seed(3))
    outputs = yield [
        network_task(
            weights,
            {"features": features},
            48,
            head={"layers": list(hidden)},
            stage=stage(it.optimizer.table, "head", BATCH, epochs=EPOCHS, **it.settings),
        )
        for it in toys
    ]
    claims = []
    for it, output in zip(toys, outputs):
        head = copy.deepcopy(start.classifier)
        theirs = train(head, features.flatten(1), BATCH, it.optimizer.make, epochs=EPOCHS, **it.theirs)
        claims += toy_claims(it, output, theirs)
    return claims


def toy_claims(toy: Toy, output: Dict[str, torch.Tensor], theirs: Trained) -> List[Claim]:
    claims = []
    if "schedule" in toy.settings or "warmup" in toy.settings:
        # The smallest rates are rounding beside the largest.
        difference = absolute(output["rates"], theirs.rates) / theirs.rates.max().item()
        claims.append(Claim(f"{toy.title}: rates of {STEPS} steps, relative to the largest", difference, 1e-9))
    after = of_prefix(output, "after.classifier.")
    return claims + [
        Claim(f"{toy.title}: losses of {STEPS} steps of a head, relative", relative_values(output["losses"], theirs.losses), 1e-5),
        Claim(f"{toy.title}: weights after {STEPS} steps", max(absolute(after[key], it) for key, it in theirs.after.items()), 1e-5),
    ]


def rules(folder: Path) -> Comparison:
    return run_toys(folder, "rules", [Toy(it.title, it, {}, {}) for it in OPTIMIZERS])


Schedule = Callable[[optim.Optimizer], lr_scheduler.LRScheduler]


class Scheduled:
    """Steps a schedule that is made when its optimizer is first seen."""

    def __init__(self, make: Schedule):
        self.make = make
        self.schedule: Optional[lr_scheduler.LRScheduler] = None

    def __call__(self, optimizer: optim.Optimizer) -> None:
        self.schedule.step()

    def attached(self, make: Make) -> Make:
        def with_schedule(parameters: List[nn.Parameter]) -> optim.Optimizer:
            optimizer = make(parameters)
            self.schedule = self.make(optimizer)
            return optimizer

        return with_schedule


def scheduled(title: str, table: object, make: Schedule, every: str, warmup: Optional[Dict[str, object]] = None) -> Toy:
    schedule = Scheduled(make)
    optimizer = OPTIMIZERS[0]._replace(make=schedule.attached(OPTIMIZERS[0].make))
    settings = {"schedule": table, **({"warmup": warmup} if warmup else {})}
    return Toy(title, optimizer, settings, {every: schedule})


def after_rise(make: Schedule) -> Schedule:
    """A rise from a tenth over the first ten steps, then another schedule."""

    def chained(optimizer: optim.Optimizer) -> lr_scheduler.LRScheduler:
        rise = lr_scheduler.LinearLR(optimizer, start_factor=0.1, total_iters=10)
        return lr_scheduler.SequentialLR(optimizer, [rise, make(optimizer)], milestones=[10])

    return chained


def schedules(folder: Path) -> Comparison:
    top, rise = SGD["lr"], {"epochs": 1, "from": 0.1}
    one_cycle = {"pct_start": 0.2, "div_factor": 10.0, "final_div_factor": 100.0, "anneal": "linear"}
    linear = {"pct_start": 0.2, "div_factor": 10.0, "final_div_factor": 100.0, "anneal_strategy": "linear", "cycle_momentum": False}
    toys = [
        scheduled("CosineAnnealingLR", "cosine", lambda it: lr_scheduler.CosineAnnealingLR(it, STEPS), "every_step"),
        scheduled(
            "CosineAnnealingLR with eta_min",
            {"cosine_annealing": {"min_lr": 0.002}},
            lambda it: lr_scheduler.CosineAnnealingLR(it, STEPS, eta_min=0.002),
            "every_step",
        ),
        scheduled("StepLR", {"step": {"every": 2, "factor": 0.3}}, lambda it: lr_scheduler.StepLR(it, 2, 0.3), "every_epoch"),
        scheduled("MultiStepLR", {"step": {"milestones": [1, 4]}}, lambda it: lr_scheduler.MultiStepLR(it, [1, 4]), "every_epoch"),
        scheduled("OneCycleLR", {"one_cycle": {}}, lambda it: lr_scheduler.OneCycleLR(it, top, total_steps=STEPS, cycle_momentum=False), "every_step"),
        scheduled("OneCycleLR, linear", {"one_cycle": one_cycle}, lambda it: lr_scheduler.OneCycleLR(it, top, total_steps=STEPS, **linear), "every_step"),
        scheduled("LinearLR, then constant", "constant", after_rise(lambda it: lr_scheduler.ConstantLR(it, 1.0)), "every_step", rise),
        scheduled("LinearLR, then CosineAnnealingLR", "cosine", after_rise(lambda it: lr_scheduler.CosineAnnealingLR(it, STEPS - 10)), "every_step", rise),
        scheduled(
            "LinearLR, then StepLR",
            {"step": {"every": 2, "factor": 0.3}},
            after_rise(lambda it: lr_scheduler.StepLR(it, 20, 0.3)),
            "every_step",
            rise,
        ),
    ]
    return run_toys(folder, "schedules", toys)


def clipping(folder: Path) -> Comparison:
    by_norm = {"clip": lambda them: nn.utils.clip_grad_norm_(them, 0.7)}
    by_value = {"clip": lambda them: nn.utils.clip_grad_value_(them, 0.01)}
    toys = [
        Toy("clip_grad_norm_", OPTIMIZERS[0], {"clip": {"norm": 0.7}}, by_norm),
        Toy("clip_grad_value_", OPTIMIZERS[1], {"clip": {"value": 0.01}}, by_value),
    ]
    return run_toys(folder, "clipping", toys)


# ---------------------------------------------------------------------------------------------------
# Muon


def in_32_bits() -> ContextManager[object]:
    """PyTorch's iteration without its cast to bfloat16."""
    return mock.patch.object(torch.Tensor, "bfloat16", lambda it: it.clone())


class MuonBesideAdamW(optim.Optimizer):
    """PyTorch's Muon for all matrices but those of the first and the last layer, and its AdamW for the rest.

    Its Muon takes matrices alone, so kernels are copied into such and back.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], muon: Dict[str, object], adamw: Dict[str, object], products: Callable[[], ContextManager[object]]):
        parameters = list(parameters)
        # The first layer sees three colours, filters of depthwise convolutions one channel each, and the last gives the classes.
        self.kernels = [it for it in parameters if it.dim() > 1 and it.shape[1] not in (1, 3) and len(it) != CLASSES]
        chosen = {id(it) for it in self.kernels}
        self.matrices = [nn.Parameter(it.detach().flatten(1).clone()) for it in self.kernels]
        self.muon = optim.Muon(self.matrices, **muon)
        self.adamw = optim.AdamW([it for it in parameters if id(it) not in chosen], **adamw)
        self.products = products
        super().__init__([{"params": it.param_groups[0]["params"], "lr": it.defaults["lr"]} for it in (self.muon, self.adamw)], {})

    def zero_grad(self, set_to_none: bool = True) -> None:
        self.adamw.zero_grad()
        for it in self.kernels:
            it.grad = None

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group, inner in zip(self.param_groups, (self.muon, self.adamw)):
            inner.param_groups[0]["lr"] = group["lr"]
        for kernel, matrix in zip(self.kernels, self.matrices):
            matrix.grad = kernel.grad.flatten(1).contiguous()
        with self.products():
            self.muon.step()
        self.adamw.step()
        for kernel, matrix in zip(self.kernels, self.matrices):
            kernel.copy_(matrix.view_as(kernel))


def muon_case(title: str, adamw: Dict[str, object], products: Callable[[], ContextManager[object]] = in_32_bits, **muon: object) -> Case:
    return Case(title, {"muon": {**muon, "adamw": adamw}}, lambda them: MuonBesideAdamW(them, muon, adamw, products))


MUON = muon_case("Muon", {"lr": 1e-3}, lr=0.01)
HIDDEN = 64


def muon(folder: Path) -> Comparison:
    start = copy.deepcopy(steady("mobilenet_v2"))
    torch.manual_seed(5)
    start.classifier = nn.Sequential(nn.Linear(1280, HIDDEN), nn.ReLU(), nn.Dropout(0.0), nn.Linear(HIDDEN, CLASSES))
    other = {"lr": 2e-3, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.0}
    scaled_rates = muon_case("", other, lr=1e-3, weight_decay=0.0, momentum=0.8, nesterov=False, ns_steps=3, eps=1e-4, adjust_lr_fn="match_rms_adamw")
    schedule = Scheduled(lambda it: lr_scheduler.CosineAnnealingLR(it, STEPS))
    toys = [
        Toy("Muon", MUON, {}, {}),
        Toy("Muon with other settings", scaled_rates, {}, {}),
        Toy("Muon, CosineAnnealingLR of both rates", MUON._replace(make=schedule.attached(MUON.make)), {"schedule": "cosine"}, {"every_step": schedule}),
        Toy("Muon, clip_grad_norm_", MUON, {"clip": {"norm": 0.7}}, {"clip": lambda them: nn.utils.clip_grad_norm_(them, 0.7)}),
    ]
    return run_toys(folder, "muon", toys, start, [HIDDEN])


def muon_whole_network(folder: Path) -> Comparison:
    """Kernels of convolutions are matrices of Muon, too; PyTorch as it is computes their products in bfloat16."""
    images = faces(5 * 32, 64)
    cases = [(MUON, 1e-3), (muon_case("Muon in bfloat16", {"lr": 1e-3}, contextlib.nullcontext, lr=0.01), 1e-2)]
    starts = {it: steady(it) for it in ("mobilenet_v2", "vgg16_bn")}
    files = {name: save_weights(it, folder / f"muon-{name}.safetensors") for name, it in starts.items()}
    outputs = yield [network_task(file, {"images": images}, 64, stage=stage(MUON.table, batch=32), backbone=name) for name, file in files.items()]
    claims = []
    for (backbone, start), output in zip(starts.items(), outputs):
        for it, within in cases:
            theirs = train(copy.deepcopy(start).train(), scaled(images), 32, it.make)
            difference = relative_values(output["losses"], theirs.losses)
            claims.append(Claim(f"losses of 5 steps of {it.title}, all layers of {backbone}, relative", difference, within))
    return claims


class Averages:
    """timm's and PyTorch's moving averages of the head, begun before the first step."""

    def __init__(self, head: nn.Module, decay: float):
        self.head = head
        self.timm = timm.utils.ModelEmaV2(head, decay=decay)
        self.torch = optim.swa_utils.AveragedModel(head, multi_avg_fn=optim.swa_utils.get_ema_multi_avg_fn(decay))
        # Its first update copies the weights, which Ferrite begins with.
        self.torch.update_parameters(head)

    def __call__(self, _: optim.Optimizer) -> None:
        self.timm.update(self.head)
        self.torch.update_parameters(self.head)


def moving_average(folder: Path) -> Comparison:
    decay = 0.9
    start = steady("mobilenet_v2")
    weights = save_weights(start, folder / "average.safetensors")
    features = torch.rand(STEPS * BATCH, 1, 1, 1280, generator=torch.Generator().manual_seed(3))
    [output] = yield [network_task(weights, {"features": features}, 48, stage=stage({"adam": ADAM}, "head", BATCH, ema=decay))]
    head = copy.deepcopy(start.classifier)
    averages = Averages(head, decay)
    train(head, features.flatten(1), BATCH, adam, every_step=averages)
    ours = of_prefix(output, "average.classifier.")
    titles = {"timm's ModelEmaV2": averages.timm.module, "PyTorch's AveragedModel": averages.torch.module}
    return [
        Claim(f"moving average over {STEPS} steps against {title}", max(absolute(ours[key], it) for key, it in theirs.state_dict().items()), 1e-5)
        for title, theirs in titles.items()
    ]


COMPARISONS = {it.__name__: it for it in (whole_network, rules, schedules, clipping, muon, muon_whole_network, moving_average)}
