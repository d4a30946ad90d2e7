//! Makes sure that the dashboard's folder exists: it is built by Node, and the relay is complete
//! without it.

fn main() {
    println!("cargo:rerun-if-changed=dashboard/dist");
    println!("cargo:rerun-if-changed=build.rs");
    if let Err(error) = std::fs::create_dir_all("dashboard/dist") {
        println!("cargo:warning=server/dashboard/dist cannot be made: {error}");
    }
}
