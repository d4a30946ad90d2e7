//! Spaces and organisations.

use serde::Serialize;
use utoipa::ToSchema;

use super::View;
use super::shape::OrganisationName;

/// A space: the unit of replication and trust.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Space {
    /// 64 hexadecimal digits.
    pub id: String,
    /// `joint` or `organisation`.
    #[schema(example = "joint")]
    pub kind: String,
    /// Its name in Arabic.
    pub name_ar: String,
    /// Its name in English.
    pub name_en: String,
}

/// All spaces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Spaces {
    /// In the order in which this relay learnt of them.
    pub items: Vec<Space>,
}

/// An organisation: an agency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Organisation {
    /// Its id, names and colour.
    #[serde(flatten)]
    pub name: OrganisationName,
    /// What it is: `military`, `police`, `border_guard`, `coast_guard`, `customs`, `health`,
    /// `civil_protection` or `humanitarian`.
    #[schema(example = "border_guard")]
    pub kind: String,
}

/// All organisations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Organisations {
    /// By colour.
    pub items: Vec<Organisation>,
}

impl View {
    /// The spaces that this relay carries.
    pub fn spaces(&self) -> Spaces {
        let items = self
            .names
            .spaces
            .iter()
            .map(|space| Space {
                id: space.id.to_string(),
                kind: space.kind.clone(),
                name_ar: space.name_ar.clone(),
                name_en: space.name_en.clone(),
            })
            .collect();
        Spaces { items }
    }

    /// The organisations of all spaces.
    pub fn organisations(&self) -> Organisations {
        let items = self
            .names
            .organisations
            .values()
            .map(|known| Organisation { name: known.name.clone(), kind: known.kind.clone() })
            .collect();
        Organisations { items }
    }

    /// What the relay's joint space is called, in Arabic and in English.
    pub fn relay_name(&self) -> Option<(String, String)> {
        let space = self.names.spaces.iter().find(|space| space.kind == "joint")?;
        Some((space.name_ar.clone(), space.name_en.clone()))
    }
}
