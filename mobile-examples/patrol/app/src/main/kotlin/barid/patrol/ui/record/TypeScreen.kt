package barid.patrol.ui.record

import androidx.compose.foundation.BorderStroke
import androidx.compose.foundation.layout.Arrangement
import androidx.compose.foundation.layout.Column
import androidx.compose.foundation.layout.PaddingValues
import androidx.compose.foundation.layout.defaultMinSize
import androidx.compose.foundation.layout.fillMaxSize
import androidx.compose.foundation.layout.padding
import androidx.compose.foundation.layout.size
import androidx.compose.foundation.lazy.grid.GridCells
import androidx.compose.foundation.lazy.grid.LazyVerticalGrid
import androidx.compose.foundation.lazy.grid.items
import androidx.compose.material3.Icon
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.Surface
import androidx.compose.material3.Text
import androidx.compose.runtime.Composable
import androidx.compose.ui.Alignment
import androidx.compose.ui.Modifier
import androidx.compose.ui.platform.testTag
import androidx.compose.ui.res.painterResource
import androidx.compose.ui.res.stringResource
import androidx.compose.ui.text.style.TextAlign
import androidx.compose.ui.unit.dp
import barid.patrol.R
import barid.patrol.model.EventType
import barid.patrol.ui.parts.Page
import barid.patrol.ui.parts.sign
import barid.patrol.ui.parts.words
import barid.patrol.ui.theme.LocalPalette

/** The second tap: what it is. Lives first; the tiles that people use most are the ones in reach. */
@Composable
fun TypeScreen(onType: (EventType) -> Unit, onBack: () -> Unit) {
    val palette = LocalPalette.current
    Page(stringResource(R.string.what_is_it), onBack, scrolls = false, actions = {
        Text(
            stringResource(R.string.place_is_taken), Modifier.weight(1f),
            style = MaterialTheme.typography.bodyMedium, color = palette.muted,
        )
    }) {
        LazyVerticalGrid(
            GridCells.Adaptive(98.dp),
            Modifier.fillMaxSize().testTag("types"),
            contentPadding = PaddingValues(bottom = 8.dp),
            verticalArrangement = Arrangement.spacedBy(10.dp),
            horizontalArrangement = Arrangement.spacedBy(10.dp),
        ) {
            items(EventType.entries, key = { it.word }) { type ->
                val lives = type.priority >= 300
                Surface(
                    onClick = { onType(type) },
                    modifier = Modifier.defaultMinSize(minHeight = 112.dp).testTag("type-${type.word}"),
                    shape = MaterialTheme.shapes.large,
                    color = if (lives) palette.sosSoft else palette.raised,
                    contentColor = if (lives) palette.onSosSoft else palette.ink,
                    border = BorderStroke(2.dp, if (lives) palette.sos else palette.edge),
                ) {
                    Column(
                        Modifier.padding(horizontal = 6.dp, vertical = 12.dp),
                        horizontalAlignment = Alignment.CenterHorizontally,
                        verticalArrangement = Arrangement.spacedBy(6.dp, Alignment.CenterVertically),
                    ) {
                        Icon(painterResource(type.sign), null, Modifier.size(40.dp))
                        Text(
                            stringResource(type.words),
                            style = MaterialTheme.typography.labelMedium, textAlign = TextAlign.Center, maxLines = 3,
                        )
                    }
                }
            }
        }
    }
}
