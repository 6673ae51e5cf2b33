//! Compiles the C++, says which LibTorch it is, and lets every program and test find it at run time without an environment variable.
//!
//! torch-sys links against `$LIBTORCH/lib`; the same folder becomes the run path here. A CUDA build of LibTorch also needs
//! `libtorch_cuda.so` to be linked although no symbol of it is named. Cargo gives such arguments to the programs of one crate
//! alone, so those of `ferrite-engine` get them from its own build script, which reads them as `DEP_FERRITE_NATIVE_LINK`.

use std::path::{Path, PathBuf};

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-changed=build.rs");
    let Some(root) = std::env::var_os("LIBTORCH").map(PathBuf::from) else {
        println!("cargo:rustc-env=LIBTORCH_VERSION=unknown");
        return;
    };
    let lib = root.join("lib");
    assert!(
        lib.join("libtorch_cpu.so").exists(),
        "no LibTorch in {}: run `make libtorch`, or set LIBTORCH to a LibTorch 2.9 folder",
        root.display()
    );
    println!("cargo:rustc-env=LIBTORCH_VERSION={}", version(&root));
    let has_cuda = lib.join("libtorch_cuda.so").exists();
    let sanitized = compile(&root, has_cuda);
    let folder = lib.display();
    // Where `make install` puts LibTorch, seen from the programs; else where it lay when they were built.
    let mut link = vec![format!("-Wl,-rpath,$ORIGIN/../lib/ferrite/lib:{folder}")];
    if has_cuda {
        link.push(format!("-L{folder}"));
        link.extend(["-Wl,--no-as-needed", "-ltorch_cuda", "-lc10_cuda"].map(String::from));
    }
    if sanitized {
        // rustc has the linker leave out what the compiler would add for them.
        link.extend(["-lasan", "-lubsan"].map(String::from));
    }
    for argument in &link {
        println!("cargo:rustc-link-arg={argument}");
    }
    println!("cargo:link={}", link.join(SEPARATOR));
}

/// Stands between the arguments that another build script reads: in no path, and in no argument.
const SEPARATOR: &str = "\u{1f}";

/// Compiles what is written against LibTorch in C++ (src/native), and says whether it checks itself ([`sanitize`]).
fn compile(root: &Path, has_cuda: bool) -> bool {
    const SOURCES: [&str; 14] = [
        "activation.cpp",
        "convolution.cpp",
        "depthwise.cpp",
        "gpu.cpp",
        "hardware.cpp",
        "norm.cpp",
        "pool.cpp",
        "portable.cpp",
        "reserve.cpp",
        "tiled.cpp",
        "tiled_weights.cpp",
        "tiles.cpp",
        "transforms.cpp",
        "winograd.cpp",
    ];
    rerun_if_c_changes();
    let include = root.join("include");
    let mut build = cc::Build::new();
    if has_cuda {
        build.define("FERRITE_CUDA", None);
        for folder in cuda_headers(root) {
            build.flag("-isystem").flag(&folder);
        }
    }
    build
        .cpp(true)
        .std("c++17")
        .opt_level(3)
        .flag("-ffp-contract=off")
        .flag("-isystem")
        .flag(&include)
        .flag("-isystem")
        .flag(include.join("torch/csrc/api/include"))
        .define("_GLIBCXX_USE_CXX11_ABI", "1")
        .files(SOURCES.map(|it| format!("src/native/{it}")));
    let sanitized = sanitize(&mut build);
    build.compile("ferrite_native");
    sanitized
}

/// Has the C++ check its memory and its arithmetic while it runs, where `FERRITE_SANITIZE` is set: `make sanitize`.
fn sanitize(build: &mut cc::Build) -> bool {
    println!("cargo:rerun-if-env-changed=FERRITE_SANITIZE");
    if std::env::var_os("FERRITE_SANITIZE").is_none() {
        return false;
    }
    // LibTorch's classes come without what is needed to check whose methods are called.
    for flag in ["-fsanitize=address,undefined", "-fno-sanitize=vptr", "-fno-sanitize-recover=all"]
    {
        build.flag(flag);
    }
    // Optimised as far as usual they take ten times as long to compile.
    build.opt_level(1);
    true
}

/// Makes the C++ be compiled again if a file of it changes, and not if Rust beside it does.
fn rerun_if_c_changes() {
    let folder = Path::new("src/native");
    // A new file is named in SOURCES, or in another file, so that nothing is missed without the folder.
    let files = folder.read_dir().expect("the sources are there").filter_map(Result::ok);
    for path in files.map(|it| it.path()) {
        if path.extension().is_some_and(|it| it == "cpp" || it == "h") {
            println!("cargo:rerun-if-changed={}", path.display());
        }
    }
}

/// The folders of CUDA's headers: those of a toolkit, or of the wheels that lie in or beside LibTorch's folder.
fn cuda_headers(root: &Path) -> Vec<PathBuf> {
    println!("cargo:rerun-if-env-changed=CUDA_HOME");
    let toolkit = std::env::var_os("CUDA_HOME").map_or("/usr/local/cuda".into(), PathBuf::from);
    let wheels = [root.join("nvidia"), root.join("../nvidia")]
        .into_iter()
        .filter_map(|it| it.read_dir().ok());
    let parts = wheels.flatten().filter_map(Result::ok).map(|it| it.path());
    let folders = std::iter::once(toolkit).chain(parts).map(|it| it.join("include"));
    let folders: Vec<_> = folders.filter(|it| it.is_dir()).collect();
    assert!(
        folders.iter().any(|it| it.join("cuda_runtime_api.h").exists()),
        "{} is for CUDA, and CUDA's headers are missing: run `make libtorch DEVICE=cuda`, or set CUDA_HOME to a CUDA toolkit",
        root.display()
    );
    folders
}

/// What LibTorch's own header says.
fn version(root: &Path) -> String {
    let header = root.join("include/torch/csrc/api/include/torch/version.h");
    let text = std::fs::read_to_string(header).unwrap_or_default();
    let number = |part: &str| {
        let name = format!("#define TORCH_VERSION_{part} ");
        text.lines().find_map(|it| it.strip_prefix(&name)).unwrap_or("?").trim().to_owned()
    };
    ["MAJOR", "MINOR", "PATCH"].map(number).join(".")
}
