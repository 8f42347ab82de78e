"""The laboratory's own clusters: named sites from configuration files and the environment.

Built-in default < the user's `config.toml` < the project's `hpcexp.toml` < `HPCEXP_*` in the
environment < the template < the command line. `layers` finds what is said where and loads
neither pydantic nor YAML, so that completion stays quick; `check` is strict about it; `apply`
gives a template what it leaves out.
"""

from hpcexp.site.layers import Site, choose_site, find_experiments_dir

__all__ = ["Site", "choose_site", "find_experiments_dir"]
